"""What stops a run before it spoils its weights."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from refl.learning import figures
from refl.learning.config import GUARD_LIMITS, TuningConfig
from refl.learning.looks import (
    HELD_OUT,
    LOOKS,
    TUNED,
    Look,
    best_look,
    find_alarm,
    read_looks,
    replaces_best,
    stop_reason,
    write_looks,
)
from refl.learning.rewards import Reward, score
from refl.learning.sampling import sample, to_tensor
from rewardmodel.learning.saving import write_whole

if TYPE_CHECKING:
    from refl.learning.tuner import Tuner

BASE, BEST = "guards-base.pt", "best.pt"  # in the run's folder


class Guards:
    """Looks at what a generator makes while it is tuned, always of the same prompts and seeds.

    In the run's folder: the looks (guards.jsonl), the small images that they are compared with
    (guards-base.pt), and the best weights so far (best.pt).
    """

    def __init__(
        self,
        config: TuningConfig,
        tuner: Tuner,
        rewards: Mapping[str, Reward],
        prompts: Sequence[str],
        *,
        tuned: Reward | None,
        folder: Path,
    ) -> None:
        """
        Args:
            rewards: those that are not tuned on, by name; they choose what is kept.
            prompts: the first `guard_prompts` of them are looked at; not tuned on, where there are others.
            tuned: the reward that is tuned on, to say what it did meanwhile.
            folder: the run's own.
        """
        self.config, self.tuner, self.folder = config, tuner, folder
        self.rewards = {f"{HELD_OUT}{name}": reward for name, reward in rewards.items()}
        if tuned is not None:
            self.rewards = {TUNED: tuned, **self.rewards}
        self.prompts = list(dict.fromkeys(prompts))[: config.guard_prompts]
        self.together = config.microbatch_size or config.batch_size  # images sampled at once
        self.limits = {**GUARD_LIMITS, **config.guard_limits}
        factor = tuner.family.image_size[0] // tuner.family.latent_shape[2]
        self.period = math.lcm(8, factor)  # pixels: the commonest patch of encoders, and the autoencoder's
        self.looks: list[Look] = []
        self.best: Look | None = None  # of them
        self.base: Tensor | None = None

    def start(self) -> None:
        """Look at the generator before its first update; what was looked at before is read back.

        Called while the pipeline has the weights it starts from. Raises: BadReward; NotSaved.
        """
        if not self.config.guard_every:
            return
        self.looks = read_looks(self.folder / LOOKS)
        if self.looks:
            self.best = best_look(self.looks)
            self.base = torch.load(self.folder / BASE, weights_only=True)
        else:
            self.watch(0)

    def resume(self, step: int) -> None:
        """Forget what was seen after this update: it comes again."""
        self.looks = [look for look in self.looks if look.step <= step]
        self.best = best_look(self.looks) if self.looks else None

    def is_due(self, step: int, *, is_end_of_stage: bool) -> bool:
        """Whether to look after this update: every so many, and after the last of each stage."""
        every = self.config.guard_every
        return bool(every) and (step % every == 0 or is_end_of_stage)

    def watch(self, step: int, stage: int = 1) -> Look:
        """Look, record what was seen, and store the weights if they are the best so far.

        Raises: BadReward; NotSaved.
        """
        look = self.look(step, stage)
        self.looks.append(look)
        if self.best is None or replaces_best(look, self.best, self.looks[0]):
            self.best = look
        group = self.tuner.process_group
        with group.error_barrier():
            if group.is_main_process:
                self._store(step)
        return look

    def _store(self, step: int) -> None:
        if self.best_step == step:
            with self.tuner.averaged(), write_whole(self.folder / BEST) as partial:
                torch.save({"step": step, "weights": self.tuner.weights.state_dict()}, partial)
        if step == 0:
            with write_whole(self.folder / BASE) as partial:
                torch.save(self.base, partial)
        write_looks(self.folder / LOOKS, self.looks)

    @property
    def best_step(self) -> int | None:
        """The update after which the weights were best; None without a look."""
        return self.best.step if self.best else None

    @property
    def stop_reason(self) -> str:
        """Why the stage is to end here; "" when it is not."""
        return stop_reason(self.looks, self.best, self.config.patience) if self.best else ""

    @property
    def is_alarmed(self) -> bool:
        """Whether the run is to end here, and no other stage is to begin."""
        return bool(self.looks) and self.looks[-1].alarm is not None

    def restore_best(self) -> None:
        """Put the best weights into the pipeline, for good: training ends here, and with it the average.

        Without a look nothing is restored.
        """
        if self.looks:
            best = torch.load(self.folder / BEST, map_location="cpu", weights_only=True)
            self.tuner.restore_weights(best["weights"])

    def forget_weights(self) -> None:
        """Delete what only a run at work needs: the best weights are those of the result."""
        for name in (BEST, BASE):
            (self.folder / name).unlink(missing_ok=True)

    @torch.no_grad()
    def look(self, step: int, stage: int = 1) -> Look:
        """Sample with the averaged weights and measure; equal weights give an equal look, but for seconds.

        The processes of a run share the prompts. The first look is the one that later ones are compared with.
        Raises: BadReward.
        """
        started, group = perf_counter(), self.tuner.process_group
        with group.error_barrier(), self.tuner.averaged():
            own = {place: self._look_at(self.prompts[part]) for place, part in self._shares()}
        parts = dict(sorted((place, part) for each in group.all_gather(own) for place, part in each.items()))
        measured = {name: torch.cat([part[name] for part in parts.values()]) for name in parts[0]}
        thumbnails = measured.pop("thumbnails")  # (B, S, 3, h, w)
        if self.base is None:
            self.base = thumbnails
        measured["diversity"] = figures.diversity(thumbnails)
        measured["drift"] = figures.drift(thumbnails, self.base)
        values = {name: tuple(tensor.double().tolist()) for name, tensor in measured.items()}
        alarm = find_alarm(self.looks[0], step, values, self.limits) if self.looks else None
        return Look(step, values, perf_counter() - started, alarm, stage)

    def _shares(self) -> list[tuple[int, slice]]:
        """The parts of the prompts, as many as are in memory at once, that are this process's; numbered."""
        group, together = self.tuner.process_group, max(1, self.together // self.config.guard_images)
        parts = [slice(start, start + together) for start in range(0, len(self.prompts), together)]
        return list(enumerate(parts))[group.rank :: group.size]

    def _look_at(self, prompts: list[str]) -> dict[str, Tensor]:
        """Return each figure of the prompts' images but those of distances, (B,) each; and thumbnails."""
        config, family, each = self.config, self.tuner.family, self.config.guard_images
        first = self.prompts.index(prompts[0]) * each
        images = sample(
            family,
            [prompt for prompt in prompts for _ in range(each)],
            range(first, first + len(prompts) * each),
            steps=config.sample_steps,
            guidance_scale=config.sample_guidance,
            batch_size=self.together,
        )
        flat = to_tensor(list(images)).to(family.device)  # (B*S, 3, H, W)
        batch = flat.reshape(len(prompts), each, *flat.shape[1:])  # (B, S, 3, H, W)
        measured = {**self._measure(prompts, batch), "thumbnails": figures.thumbnails(batch)}
        return {name: tensor.cpu() for name, tensor in measured.items()}

    def _measure(self, prompts: list[str], images: Tensor) -> dict[str, Tensor]:
        """Return each figure of the images (B, S, 3, H, W) but those of distances, (B,) each."""
        each = images.shape[1]
        repeated, flat = [prompt for prompt in prompts for _ in range(each)], images.flatten(0, 1)
        measured = {}
        for name, reward in self.rewards.items():
            said = f"the guards' reward {name.removeprefix(HELD_OUT)!r}"
            rewards = score(reward, repeated, flat, name=said)  # (B*S,)
            measured[name] = rewards.float().reshape(len(prompts), each).mean(1)
        measured["dark_share"] = figures.dark_share(images)
        measured["colour_entropy"] = figures.colour_entropy(images)
        measured["patch_grid"] = figures.patch_grid(images, self.period)
        return measured

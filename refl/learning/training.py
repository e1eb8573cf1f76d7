"""ReFL from the first update to the saved pipeline, over interruptions."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

import numpy as np
import torch

from refl.learning.config import TuningConfig
from refl.learning.pairs import Pair, read_pairs
from refl.learning.sampling import grid, load_pipeline, sample
from refl.learning.updates import Reward, Tuner
from rewardmodel.learning.errors import Interrupted


class NoPrompts(ValueError):
    """There is no prompt to tune on."""


class AnotherRun(ValueError):
    """The folder holds a run of another configuration."""


@dataclass(frozen=True)
class Progress:
    """What one update, the pre-training step and the reward step, came to; None for a step left out.

    Attributes:
        step, steps: updates done, and wanted.
        reward: mean over the batch, before the step; higher is better.
        reward_loss, pretraining_loss: not yet weighted.
        reward_gradient, pretraining_gradient: norms of the gradients of the weighted losses before clipping.
        seconds: of this update.
    """

    step: int
    steps: int
    reward: float | None
    reward_loss: float | None
    pretraining_loss: float | None
    reward_gradient: float | None
    pretraining_gradient: float | None
    seconds: float


def tune(
    config: TuningConfig,
    *,
    pipeline: Path,
    reward: Reward,
    prompts: Sequence[str],
    pretraining: Path,
    folder: Path,
    on_step: Callable[[Progress], None],
    should_stop: Callable[[], bool],
    device: str | None = None,
) -> Path:
    """Tune the UNet of a Stable Diffusion pipeline so that its images are preferred.

    Called again on the same folder it goes on from the last checkpoint, and ends with the same weights as a
    run never interrupted (on the same hardware).

    Args:
        pipeline: the folder (or hub id) of the pipeline to start from; it is not changed.
        reward: (prompts, images (B, 3, H, W) in 0..1) -> (B,), differentiable, normalised, higher is better.
        prompts: to tune on; the first few are those of the sample grids.
        pretraining: a folder of captioned images, as `read_pairs` wants it.
        folder: of this run alone: its checkpoint, samples/step-*.png, and at the end pipeline/.
        on_step: called after every update.
        should_stop: asked after every update.
        device: the best there is when None.
    Returns: the folder of the tuned pipeline, complete as diffusers saves one.
    Raises: NoPrompts; AnotherRun; BadPairs; NotAPipeline; BadReward; Diverged; Interrupted.
    Source: ImageReward, arXiv 2304.05977, Algorithm 1.
    """
    if not prompts:
        raise NoPrompts("no prompts to tune on")
    pairs = read_pairs(pretraining)
    _claim(folder, config)
    result, checkpoint = folder / "pipeline", folder / "checkpoint.pt"
    if result.is_dir():
        return result
    tuner = Tuner(config, load_pipeline(pipeline, device))
    step = _resume(tuner, checkpoint)
    if step == 0:
        _save_samples(tuner, prompts, folder, step)
    while step < config.updates:
        on_step(_update(tuner, step, prompts=prompts, pairs=pairs, reward=reward))
        step += 1
        last = step == config.updates
        if last or (config.sample_every and step % config.sample_every == 0):
            _save_samples(tuner, prompts, folder, step)
        stopping = not last and should_stop()
        if stopping or last or step % config.checkpoint_every == 0:
            _save_checkpoint(tuner, checkpoint, step)
        if stopping:
            raise Interrupted(f"after {step} of {config.updates} updates")
    _save_result(tuner, result)
    checkpoint.unlink()
    return result


def _update(
    tuner: Tuner, done: int, *, prompts: Sequence[str], pairs: Sequence[Pair], reward: Reward
) -> Progress:
    """Both updates of Algorithm 1, one after the other, on their own batches.

    One of weight 0 is left out: without a gradient Adam would still move by its momentum.
    """
    config, started, chance = tuner.config, perf_counter(), _chance(tuner.config.seed, done)
    pretraining_loss = pretraining_gradient = mean = reward_loss = reward_gradient = None
    if config.pretraining_weight:
        some_pairs = [pairs[i] for i in batch_at(done, len(pairs), config.batch_size, config.seed)]
        pretraining_loss, pretraining_gradient = tuner.update_with_pairs(some_pairs, chance)
    if config.reward_weight:
        some_prompts = [prompts[i] for i in batch_at(done, len(prompts), config.batch_size, config.seed)]
        mean, reward_loss, reward_gradient = tuner.update_with_reward(some_prompts, reward, chance)
    tuner.follow()
    return Progress(
        step=done + 1,
        steps=config.updates,
        reward=mean,
        reward_loss=reward_loss,
        pretraining_loss=pretraining_loss,
        reward_gradient=reward_gradient,
        pretraining_gradient=pretraining_gradient,
        seconds=perf_counter() - started,
    )


def batch_at(step: int, count: int, size: int, seed: int) -> list[int]:
    """Which of `count` examples the step-th batch holds: passes without repeats, each in a new order."""
    places = [divmod(place, count) for place in range(step * size, (step + 1) * size)]
    orders = {epoch: np.random.default_rng((seed, epoch)).permutation(count) for epoch, _ in places}
    return [int(orders[epoch][place]) for epoch, place in places]


def _chance(seed: int, step: int) -> torch.Generator:
    """All chance of one update: it follows from seed and step, so a checkpoint need not hold it."""
    drawn = np.random.SeedSequence((seed, step)).generate_state(1, np.uint64)[0]
    return torch.Generator().manual_seed(int(drawn))


def _claim(folder: Path, config: TuningConfig) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    stored, text = folder / "config.json", json.dumps(config.to_dict(), indent=2)
    if not stored.exists():
        _write_whole(stored, lambda partial: partial.write_text(text))
    elif TuningConfig(**json.loads(stored.read_text())) != config:
        raise AnotherRun(f"{stored} is of a run with other settings: give this one another folder")


def _resume(tuner: Tuner, checkpoint: Path) -> int:
    """The updates done already."""
    if not checkpoint.exists():
        return 0
    state = torch.load(checkpoint, map_location="cpu", weights_only=True)
    tuner.load_state(state["tuner"])
    return int(state["step"])


def _save_checkpoint(tuner: Tuner, checkpoint: Path, step: int) -> None:
    state = {"step": step, "tuner": tuner.state()}
    _write_whole(checkpoint, lambda partial: torch.save(state, partial))


def _save_samples(tuner: Tuner, prompts: Sequence[str], folder: Path, step: int) -> None:
    config, shown = tuner.config, list(prompts[: tuner.config.sample_prompts])
    with tuner.averaged() as pipeline:
        images = sample(
            pipeline,
            shown,
            range(len(shown)),
            steps=config.sample_steps,
            guidance_scale=config.sample_guidance,
            batch_size=config.batch_size,
        )
        sheet = grid(list(images), columns=4)
    (folder / "samples").mkdir(exist_ok=True)
    target = folder / "samples" / f"step-{step:06}.png"
    _write_whole(target, lambda partial: sheet.save(partial, "PNG"))


def _save_result(tuner: Tuner, result: Path) -> None:
    partial = result.with_name("pipeline.partial")
    shutil.rmtree(partial, ignore_errors=True)
    with tuner.averaged() as pipeline:
        pipeline.save_pretrained(partial)
    os.rename(partial, result)


def _write_whole(target: Path, write: Callable[[Path], object]) -> None:
    """Written beside its place, then renamed: whoever looks finds all of it or what was before."""
    partial = target.with_name(target.name + ".partial")
    write(partial)
    with partial.open("rb") as written:
        os.fsync(written.fileno())
    os.replace(partial, target)

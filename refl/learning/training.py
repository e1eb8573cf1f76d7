"""A tuning from the first update to the saved pipeline, over stages and interruptions."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from pkgutil import resolve_name
from time import perf_counter
from typing import Any, TypeVar

from refl.learning.chance import indices_at, rng_at
from refl.learning.config import METHODS, TuningConfig
from refl.learning.families import Family
from refl.learning.families.loading import load_family
from refl.learning.guards import Guards
from refl.learning.identity import identity
from refl.learning.looks import Look
from refl.learning.methods import Batch, Materials, Method
from refl.learning.pairs import BadPairs, Preference, read_pairs
from refl.learning.prompts import check_prompts, describe_cut
from refl.learning.rewards import Reward, check_differentiable, measured_parts
from refl.learning.run_folder import (
    CHECKPOINT,
    START,
    claim_folder,
    discard_states,
    load_checkpoint,
    restore_start,
    save_checkpoint,
    save_start,
    updates_done,
)
from refl.learning.sampling import grid, sample
from refl.learning.scales import measure_scales, with_scales
from refl.learning.tuner import Tuner
from rewardmodel.learning.curves import CurveFiles
from rewardmodel.learning.errors import Interrupted, PermanentError
from rewardmodel.learning.saving import write_whole
from rewardmodel.learning.training.distributed import ProcessGroup, process_group

T = TypeVar("T")
logger = logging.getLogger(__name__)

SCALES = "scales.json"  # of the rewards that the run normalises itself


class NoPrompts(PermanentError):
    """There is no prompt to tune on."""


class NoPreferences(PermanentError):
    """There is no preference to tune on."""


@dataclass(frozen=True)
class Progress:
    """What one update came to.

    Attributes:
        step, steps: updates done, and wanted, of all stages.
        measures: what the method measured, by name; None for what it left out. Parts of a mixture of rewards
            are called `reward/<name>`.
        seconds: of this update.
        stage: which of the run's stages, from 1.
        learning_rate: of this update.
        look: what the guards saw after it; None where they did not look.
    """

    step: int
    steps: int
    measures: Mapping[str, float | None]
    seconds: float
    stage: int
    learning_rate: float
    look: Look | None = None

    @property
    def curves(self) -> dict[str, float | None]:
        """What there is a curve of, by name; before the first update only what the guards saw."""
        guards = self.look.measures if self.look else {}
        if self.step == 0:
            return {**guards}
        return {**self.measures, "learning_rate": self.learning_rate, "seconds": self.seconds, **guards}


def tune(
    config: TuningConfig,
    *,
    pipeline: Path,
    reward: Reward,
    prompts: Sequence[str],
    pretraining: Path | None,
    folder: Path,
    on_step: Callable[[Progress], None],
    should_stop: Callable[[], bool],
    preferences: Sequence[Preference] = (),
    held_out_rewards: Mapping[str, Reward] | None = None,
    guard_prompts: Sequence[str] = (),
    on_look: Callable[[Look, Family], None] | None = None,
    device: str | None = None,
    loras: Sequence[Path] = (),
) -> Path:
    """Tune a pipeline's denoiser so that its images are preferred.

    1. Refuse what cannot run, and claim the folder for this configuration and what it learns from.
    2. Load the pipeline, show what it makes untuned, and let the guards look at it.
    3. Tune it, stage by stage: from the best weights of those before, with a new optimizer.
    4. Save the pipeline with the best weights; without guards they are the last ones.

    Called again on the same folder it goes on from the last checkpoint, and ends with the same weights as a
    run never interrupted (on the same hardware). Under torchrun every process calls it with the same
    arguments, but that the main process's prompts and preferences count: each has its share of every batch,
    and the main process alone reports and writes.

    Args:
        pipeline: the folder (or hub id) of the pipeline to start from; it is not changed.
        reward: see `Reward`; the parts of a `Mixture` are measured by name.
        prompts: to tune on; the first few are those of the sample grids.
        pretraining: a folder of captioned images, as `read_pairs` wants it; None where the configuration
            needs no pairs.
        folder: of this run alone: its checkpoint, samples/step-*.png, its curves (see `CurveFiles`), what the
            guards saw (guards.jsonl), and at the end pipeline/.
        on_step: called after every update, and before the first with what the guards saw.
        should_stop: asked after every update.
        preferences: what people preferred of two images, for a method that needs it.
        held_out_rewards: by name, not tuned on: by them the guards choose what is saved, and stop the run.
        guard_prompts: what the guards look at, best not tuned on; without any, the first of `prompts`, or of
            those of the preferences, or of the captions of pairs.
        on_look: called in the main process after the guards looked, while the pipeline has the weights that
            they looked at.
        device: the best there is when None.
        loras: files over the pipeline to start from, in order.
    Returns: the folder of the tuned pipeline, complete as diffusers saves one, or of a LoRA over it.
    Raises: NoPrompts; BadPrompts; NoPreferences; AnotherRun; BadPairs; NotAPipeline; Unsupported; BadReward;
        Diverged; NotSaved; Interrupted; PeerFailed where another process failed.
    """
    with process_group(device) as group:
        prompts, guard_prompts, preferences = group.broadcast((prompts, guard_prompts, preferences))

        # 1. What cannot run writes nothing; what has run is not run again
        with group.error_barrier():
            materials = _gather(config, prompts, pretraining, preferences)
            for stage in config.stage_configs():
                resolve_name(METHODS[stage.method].place)  # one that is missing is missed before all else
                check_differentiable(reward, stage)
            if group.is_main_process:
                claim_folder(folder, config, identity(Path(pipeline), loras, materials, reward))
        result = folder / "pipeline"
        if group.broadcast(result.is_dir()):
            return result

        # 2. The pipeline, and what it makes before any update
        with group.error_barrier():
            family = load_family(pipeline, group.device, loras=loras)
            for stage in config.stage_configs():
                family.check(stage)
            tuner = Tuner(config.stage_configs()[0], family, group)
            state = load_checkpoint(folder / CHECKPOINT)
            if group.is_main_process:
                _warn_of_cut_texts(family, materials)
                measure_scales(reward, materials.pairs, tuner.family, folder / SCALES)
        reward = with_scales(reward, folder / SCALES)
        watched = guard_prompts or prompts or [each.prompt for each in preferences or materials.pairs]
        guards = Guards(config, tuner, held_out_rewards or {}, watched, tuned=reward, folder=folder)
        guards.start()
        done = updates_done(state)
        guards.resume(done)
        with _open_curves(group, folder, done if state else -1) as curves:  # -1: it reports its start again
            roots = [folder, *([pretraining] if pretraining else [])]
            run = _Run(
                config,
                tuner,
                guards,
                curves,
                reward,
                prompts,
                folder,
                on_step,
                on_look,
                should_stop,
                done,
                roots,
            )
            if state is None:
                run.save_samples()
                run.report_start()

            # 3. Every stage that is not over
            run.tune(materials, state)
            guards.restore_best()
            if guards.best_step not in (None, 0, run.step):
                run.save_samples(guards.best_step)

        # 4. The result; what was stored to go on from has done its work
        with group.error_barrier():
            if group.is_main_process:
                with write_whole(result) as partial:
                    tuner.save(partial)
                discard_states(folder)
                guards.forget_weights()
        return result


@contextmanager
def _open_curves(group: ProcessGroup, folder: Path, done: int) -> Iterator[CurveFiles | None]:
    """The run's curves in files, which the main process writes; None in the others."""
    if not group.is_main_process:
        yield None
        return
    with CurveFiles(folder, done=done) as curves:
        yield curves


@dataclass
class _Run:
    """A run at work.

    Attributes:
        step: updates done, of all stages.
        roots: where images of pairs lie: the run's folder, and that of pre-training pairs if there is one.
    """

    config: TuningConfig
    tuner: Tuner
    guards: Guards
    curves: CurveFiles | None
    reward: Reward
    prompts: Sequence[str]
    folder: Path
    on_step: Callable[[Progress], None]
    on_look: Callable[[Look, Family], None] | None
    should_stop: Callable[[], bool]
    step: int
    roots: Sequence[Path]

    def tune(self, materials: Materials, state: Mapping[str, Any] | None) -> None:
        """Do the stages in order, from a checkpoint's state if there is one. Raises: as `tune`."""
        configs = self.config.stage_configs()
        resumed = state.get("stage", 0) if state else None  # one stored before there were stages names none
        for stage, config in enumerate(configs):
            if resumed is not None and stage < resumed:
                continue
            if self.guards.is_alarmed:
                return

            # 1. The weights and materials that the stage starts from
            folder = self.folder / f"stage-{stage + 1}"
            if stage > 0:
                materials = self._begin_stage(config, materials, folder / START, stored=stage == resumed)
            folder.mkdir(exist_ok=True)

            # 2. What the method makes of them
            method: Method = resolve_name(METHODS[config.method].place)(self.tuner, self.reward)
            materials = method.prepare(materials, folder)

            # 3. The updates
            done = 0
            if state and stage == resumed:
                done = int(state["step"])
                self.tuner.load_state_dict(state["tuner"], done)
            while done < config.updates and not self._is_over(stage):
                self._update(method, materials, config, stage, done)
                done += 1
                ends = done == config.updates or self._is_over(stage)
                self._follow_up(
                    stage,
                    done,
                    ends=ends,
                    is_last=ends and (stage + 1 == len(configs) or self.guards.is_alarmed),
                )
            self.guards.restore_best()

    def _is_over(self, stage: int) -> bool:
        """Whether the guards ended the stage."""
        looks = self.guards.looks
        return bool(looks) and looks[-1].stage == stage + 1 and bool(self.guards.stop_reason)

    def _begin_stage(
        self, config: TuningConfig, materials: Materials, start: Path, *, stored: bool
    ) -> Materials:
        """Begin from the stage before, and store where it began; or take up what was stored of that."""
        group = self.tuner.process_group
        with group.error_barrier():
            if stored:
                materials = restore_start(
                    self.tuner, start, roots=self.roots, preferences=materials.preferences
                )
            self.tuner.begin_stage(config)
            if group.is_main_process and not stored:
                save_start(self.tuner, materials, start, roots=self.roots)
        return materials

    def _update(
        self, method: Method, materials: Materials, config: TuningConfig, stage: int, done: int
    ) -> None:
        """Update once and report; all that is random follows from seed, update and a sample's place."""
        started, group = perf_counter(), self.tuner.process_group
        rate = self.tuner.set_learning_rate(done)
        places = range(group.rank, config.batch_size, group.size)  # of this process's samples
        batch = _batch_at(done, materials, config, key=(config.seed, stage), places=places)
        with measured_parts(self.reward) as parts:
            measures = method.update(batch, rng_at(config.seed, self.step, places))
        self.tuner.update_average()
        self.step += 1
        means = _average(group, parts, share=len(places) / config.batch_size)
        seconds, total = perf_counter() - started, self.config.total_updates
        is_end = done + 1 == config.updates
        look = self._look(stage + 1) if self.guards.is_due(self.step, is_end_of_stage=is_end) else None
        self._report(Progress(self.step, total, {**measures, **means}, seconds, stage + 1, rate, look))

    def _look(self, stage: int) -> Look:
        look = self.guards.watch(self.step, stage)
        self._show(look)
        return look

    def _show(self, look: Look) -> None:
        group = self.tuner.process_group
        with group.error_barrier():
            if group.is_main_process and self.on_look is not None:
                with self.tuner.averaged():
                    self.on_look(look, self.tuner.family)

    def report_start(self) -> None:
        """Report what the guards saw of the untuned generator."""
        for look in self.guards.looks:
            self._show(look)
            self._report(Progress(0, self.config.total_updates, {}, 0.0, 1, 0.0, look))

    def _report(self, progress: Progress) -> None:
        with self.tuner.process_group.error_barrier():
            if self.curves is not None:
                self.curves.record(progress.step, progress.curves)
                self.on_step(progress)

    def _follow_up(self, stage: int, done: int, *, ends: bool, is_last: bool) -> None:
        """Save samples to look at and a checkpoint to go on from, where it is time. Raises: Interrupted.

        Args: ends: whether this was the last update of its stage; is_last: of the run.
        """
        config, total, group = self.config, self.config.total_updates, self.tuner.process_group
        if is_last or (config.sample_every and self.step % config.sample_every == 0):
            self.save_samples()
        with group.error_barrier():
            stops = not is_last and self.should_stop()
        is_stopped = group.any(stops)
        is_best = self.guards.best_step == self.step
        if is_stopped or ends or is_best or self.step % config.checkpoint_every == 0:
            with group.error_barrier():
                if group.is_main_process:
                    save_checkpoint(self.tuner, self.folder / CHECKPOINT, stage, done, self.step)
        if is_stopped:
            raise Interrupted(f"after {self.step} of {total} updates")

    def save_samples(self, step: int | None = None) -> None:
        """Save a grid of the first prompts' images, from the averaged weights if there are any.

        Args: step: whose weights the pipeline has; None for the present one.
        """
        number = self.step if step is None else step
        with self.tuner.process_group.error_barrier():
            if self.tuner.process_group.is_main_process and self.prompts:
                _save_samples(self.tuner, self.config, self.prompts, self.folder / "samples", number)


def _gather(
    config: TuningConfig,
    prompts: Sequence[str],
    pretraining: Path | None,
    preferences: Sequence[Preference],
) -> Materials:
    """Read what the run needs, and may use. Raises: NoPrompts; BadPrompts; NoPreferences; BadPairs."""
    needs = config.needs
    if "prompts" in needs and not prompts:
        raise NoPrompts("no prompts to tune on")
    check_prompts(prompts)
    if "preferences" in needs and not preferences:
        raise NoPreferences("no preferences to tune on")
    if "pairs" in needs and pretraining is None:
        raise BadPairs("no folder of pre-training pairs was given")
    return Materials(prompts, read_pairs(pretraining) if pretraining else [], preferences)


def _warn_of_cut_texts(family: Family, materials: Materials) -> None:
    for what, texts in (
        ("prompts", materials.prompts),
        ("captions of pairs", [pair.prompt for pair in materials.pairs]),
        ("prompts of preferences", [preference.prompt for preference in materials.preferences]),
    ):
        for line in describe_cut(family.pipeline, family.text_limits, texts, what=what):
            logger.warning(line)


def _batch_at(
    update: int, materials: Materials, config: TuningConfig, *, key: Sequence[int], places: range
) -> Batch:
    """Return an update's batch, or the part of it that has these places."""

    def draw(examples: Sequence[T]) -> list[T]:
        if not examples:
            return []
        indices = indices_at(update, len(examples), config.batch_size, key)
        return [examples[indices[place]] for place in places]

    return Batch(draw(materials.prompts), draw(materials.pairs), draw(materials.preferences))


def _average(group: ProcessGroup, means: Mapping[str, float], *, share: float) -> dict[str, float]:
    """Return the means over a batch, of which each process has its share and the means over that."""
    weighted = group.all_gather({name: mean * share for name, mean in means.items()})
    return {name: sum(each.get(name, 0.0) for each in weighted) for name in weighted[0]}


def _save_samples(
    tuner: Tuner, config: TuningConfig, prompts: Sequence[str], folder: Path, step: int
) -> None:
    shown = list(prompts[: config.sample_prompts])
    with tuner.averaged():
        images = sample(
            tuner.family,
            shown,
            range(len(shown)),
            steps=config.sample_steps,
            guidance_scale=config.sample_guidance,
            batch_size=config.microbatch_size or config.batch_size,
        )
        sheet = grid(list(images))
    folder.mkdir(exist_ok=True)
    with write_whole(folder / f"step-{step:06}.png") as partial:
        sheet.save(partial, "PNG")

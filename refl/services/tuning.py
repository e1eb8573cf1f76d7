"""Queue tunings of a project's generator, and carry them out."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext, suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from django.db import transaction
from django.utils.timezone import now

from annotation.models import Project, User
from annotation.stored_files import local_copy
from refl.learning.config import TuningConfig
from refl.models import Generator, TuningPolicy, TuningRun
from refl.pipelines import local_pipeline
from refl.selectors.generators import newest_kept
from refl.selectors.preferences import preference_dataset
from refl.selectors.prompts import held_out_prompts, tuning_prompts, watched_prompts
from refl.selectors.rewards import NoSuchReward, foreign_rewards, named_checkpoint, resolve_rewards
from refl.services.generators import (
    keep_if_sound,
    mark_seen,
    register_tuned,
    set_control_aside,
    set_unimproved_aside,
)
from refl.services.judging import measure_changes
from refl.services.preferences import run_preferences
from refl.services.rewards import load_held_out, load_mixture
from rewardmodel.learning.errors import Interrupted
from rewardmodel.learning.saving import write_whole
from rewardmodel.models import RewardCheckpoint
from rewardmodel.runs import states
from rewardmodel.runs.execution import Heartbeat
from rewardmodel.runs.policies import policy_config
from rewardmodel.selectors import promoted_checkpoint

if TYPE_CHECKING:
    from refl.learning.pairs import Preference
    from refl.learning.rewards import Reward
    from refl.learning.training import Progress


TUNED = "the reward it is tuned on"


class CannotTune(ValueError):
    """The run could not succeed; the message says why."""


@transaction.atomic
def queue_tuning(
    *,
    project: Project,
    generator: Generator | None = None,
    checkpoint: RewardCheckpoint | None = None,
    config: Mapping[str, Any] | None = None,
    by: User | None = None,
    because: str = "",
) -> TuningRun:
    """Queue a tuning.

    Args:
        generator: to start from; None takes the newest that was kept.
        checkpoint: the reward; None takes the first that the mixture of the configuration names, else the
            promoted one.
        config: fields of a TuningConfig that differ from the defaults; None takes the project's policy. Its
            sample grids are made as the generator is sampled from, unless it says otherwise. In its `rewards`
            the reward model of the run may be called `checkpoint`, as in `checkpoint:fidelity`.
        by: who asks, for the log; None for a command, or what came due.
        because: why, where nobody asks.
    Raises: CannotTune, NoGenerator, NothingPromoted.
    """
    Project.objects.select_for_update(no_key=True).get(pk=project.pk)
    if TuningRun.objects.active().filter(project=project).exists():
        raise CannotTune(f"a generator of {project.slug} is being tuned already")
    generator = generator or newest_kept(project)
    if not generator.kept:
        raise CannotTune(f"{generator} is not kept: only a kept generator is tuned further")
    complete = complete_config(policy_config(TuningPolicy, project) if config is None else config, generator)
    checkpoint = checkpoint or named_checkpoint(project, complete.rewards) or promoted_checkpoint(project)
    _check_materials(complete, generator, checkpoint)
    try:
        mixture = resolve_rewards(project, complete.rewards, own=checkpoint)
    except NoSuchReward as error:
        raise CannotTune(f"configuration: {error}") from error
    if generator.pairs is None and (foreign := foreign_rewards(project, mixture)):
        names = ", ".join(foreign)
        raise CannotTune(f"{generator} has no folder of pre-training pairs to put {names} on a scale by")
    run = TuningRun.objects.create(
        project=project,
        generator=generator,
        checkpoint=checkpoint,
        config=replace(complete, rewards=mixture).to_dict(),
        steps=complete.total_updates,
    )
    return states.record_request(run, by=by, because=because)


def complete_config(config: Mapping[str, Any], generator: Generator) -> TuningConfig:
    """Return a TuningConfig of these fields, sampling as the generator does. Raises: CannotTune."""
    sampled = {"sample_steps": generator.steps, "sample_guidance": generator.guidance_scale}
    try:
        return TuningConfig(**{**sampled, **config})
    except (TypeError, ValueError) as error:
        raise CannotTune(f"configuration: {error}") from error


def _check_materials(config: TuningConfig, generator: Generator, checkpoint: RewardCheckpoint) -> None:
    """Refuse a run that lacks what its methods learn from, or prompts to judge it by. Raises: CannotTune."""
    needs, project = config.needs, checkpoint.project
    if "pairs" in needs and generator.pairs is None:
        raise CannotTune(f"{generator} has no folder of pre-training pairs to be held by")
    if ("prompts" in needs and not tuning_prompts(checkpoint)) or not held_out_prompts(checkpoint):
        raise CannotTune(f"{project.slug} needs prompts to tune on and, in the test split, some to judge by")
    if "preferences" in needs and preference_dataset(checkpoint, until=now()) is None:
        raise CannotTune(f"{project.slug} has no dataset version with preferences to tune on: freeze one")


def tune_generator(run: TuningRun, heartbeat: Heartbeat) -> None:
    """Tune, register the result, and judge it. Called again, it continues where it stopped.

    The result of a control is never kept. Nor is one of which the guards kept
    no update.

    Raises: Interrupted; what `refl.learning.training.tune` raises; CheckpointError.
    """
    from refl.learning import training
    from refl.learning.outcomes import read_outcome
    from refl.learning.scales import with_scales

    def on_step(progress: Progress) -> None:
        mark_seen(run.generator)
        heartbeat.report(step=progress.step, steps=progress.steps, values=progress.curves)

    config, prompts = TuningConfig(**run.config), _frozen_prompts(run)
    reward, held_out = load_mixture(run), load_held_out(run)
    preferred = run_preferences(run, held_out=prompts["held_out"], heartbeat=heartbeat)
    with preferred if "preferences" in config.needs else nullcontext(()) as preferences:
        _tune(
            run,
            reward,
            held_out,
            prompts=prompts,
            preferences=preferences,
            on_step=on_step,
            should_stop=heartbeat.should_stop,
        )
    heartbeat.folder.store()  # whoever is told of the generator may load it at once
    tuned = register_tuned(run=run)
    if tuned.kept is not None:
        return
    guards = read_outcome(run.folder, config)
    if config.is_control:
        set_control_aside(tuned)
    elif guards is not None and not guards.is_better:
        set_unimproved_aside(tuned, guards=guards)
    else:
        scaled = with_scales(reward, run.folder / training.SCALES)
        changes = measure_changes(
            tuned, rewards={TUNED: scaled, **held_out}, prompts=prompts["held_out"], heartbeat=heartbeat
        )
        keep_if_sound(tuned, tuned_on=changes.pop(TUNED), held_out=changes, guards=guards)


def share_tuning(run: TuningRun, should_stop: Callable[[], bool]) -> None:
    """Take part in the updates of a run that another process carries out; return when it ends or stops.

    Raises: what `refl.learning.training.tune` raises, but Interrupted.
    """
    prompts: dict[str, list[str]] = {"tuning": [], "guards": []}  # what the other process has counts
    with suppress(Interrupted):
        _tune(
            run,
            load_mixture(run),
            load_held_out(run),
            prompts=prompts,
            preferences=(),
            on_step=lambda progress: None,
            should_stop=should_stop,
        )


def _tune(
    run: TuningRun,
    reward: Reward,
    held_out: Mapping[str, Reward],
    *,
    prompts: Mapping[str, list[str]],
    preferences: Sequence[Preference],
    on_step: Callable[[Progress], None],
    should_stop: Callable[[], bool],
) -> None:
    from refl.learning import training

    pairs = run.generator.pairs
    with (
        local_pipeline(run.generator) as (pipeline, loras),
        nullcontext() if pairs is None else local_copy(pairs) as pretraining,
    ):
        training.tune(
            TuningConfig(**run.config),
            pipeline=pipeline,
            loras=loras,
            reward=reward,
            held_out_rewards=held_out,
            guard_prompts=prompts["guards"],
            prompts=prompts["tuning"],
            pretraining=pretraining,
            preferences=preferences,
            folder=run.folder,
            on_step=on_step,
            should_stop=should_stop,
        )


def _frozen_prompts(run: TuningRun) -> dict[str, list[str]]:
    """Return the prompts the run began with: a resumed run must not see those that came in meanwhile."""
    file = run.folder / "prompts.json"
    if not file.exists():
        tuning, count = tuning_prompts(run.checkpoint), TuningConfig(**run.config).guard_prompts
        watched = watched_prompts(run.checkpoint)[:count]
        prompts = {
            "tuning": [prompt for prompt in tuning if prompt not in set(watched)] or tuning,
            "held_out": held_out_prompts(run.checkpoint),
            # Where too few are held out, others too.
            "guards": list(dict.fromkeys([*watched, *tuning]))[:count],
        }
        with write_whole(file) as partial:
            partial.write_text(json.dumps(prompts, ensure_ascii=False, indent=1), encoding="utf-8")
    frozen: dict[str, list[str]] = json.loads(file.read_text(encoding="utf-8"))
    frozen.setdefault("guards", [])  # a run begun before there were guards watches its first prompts
    return frozen

"""A reward model learns from the rankings."""

from __future__ import annotations

from typing import Any

from annotation.models import Project, User
from refl.loop.facts import Facts
from refl.loop.step import Started, State, Status, Step, StepRefused, counted, failed_status, run_status
from rewardmodel.models import RewardCheckpoint, TrainingPolicy, TrainingRun
from rewardmodel.services.training import queue_training
from rewardmodel.templatetags.figures import percent


def read(facts: Facts) -> Status:
    run, policy, new = facts.newest(TrainingRun), facts.training_policy, facts.new_rankings
    trained = facts.trained
    changed = _in_figures(trained) if trained else ""
    if run is not None and not run.is_over:
        return run_status(run, doing="learns from the rankings", changed=changed)
    if not facts.has_initial:
        missing = f"a model to start from: manage.py register_reward_model {facts.project.slug} NAME FOLDER"
        return Status(State.WAITING, missing=(missing,), run=run, changed=changed)
    if policy is not None and policy.enabled and new >= policy.retrain_after:
        because = f"{counted(new, 'ranking')} since the last training"
        return Status(State.READY, because, because=because, run=run, changed=changed)
    if run is not None and run.state == TrainingRun.State.FAILED:
        return failed_status(run, changed=changed)
    if not facts.finished:
        return Status(State.WAITING, missing=("rankings that are accepted",), run=run, changed=changed)
    if not new:
        return Status(State.DONE, "it has learned from every ranking", run=run, changed=changed)
    if policy is None or not policy.enabled:
        return Status(State.OFF, f"{counted(new, 'ranking')} to learn from", run=run, changed=changed)
    missing, progress = f"{policy.retrain_after - new:,} more rankings", (new, policy.retrain_after)
    return Status(State.WAITING, missing=(missing,), run=run, progress=progress, changed=changed)


def start(
    project: Project, *, by: User | None = None, because: str = "", only_new: bool = False, **options: Any
) -> Started:
    """Queue a training, by default on what is finished now.

    Args:
        only_new: refuse a dataset that was trained on, as where all new rankings lack their images.
        options: of `queue_training`.
    Raises: StepRefused, NotTrainable, NothingToFreeze, NothingRegistered.
    """
    run = queue_training(project=project, by=by, because=because, **options)
    if only_new and run.dataset.runs.exclude(pk=run.pk).exists():
        raise StepRefused(
            f"rankings beyond dataset {run.dataset} that can be trained on: the new ones lack images"
        )
    return Started(f"A reward model learns from dataset {run.dataset}.", run=run, dataset=run.dataset)


def outcome(run: TrainingRun) -> str:
    """Return what its reward model gets right, and whether that is promoted."""
    checkpoint = getattr(run, "checkpoint", None)
    return _in_figures(checkpoint) if checkpoint else ""


def _in_figures(checkpoint: RewardCheckpoint) -> str:
    if checkpoint.accuracy is None:
        return str(checkpoint)
    return f"{checkpoint}: {percent(checkpoint.accuracy)} of the test pairs"


STEP = Step(
    key="train",
    title="Train the reward model",
    about="A reward model learns to order images as people did.",
    read=read,
    start=start,
    outcome=outcome,
    model=TrainingRun,
    policy=TrainingPolicy,
    when_due={"only_new": True},
)

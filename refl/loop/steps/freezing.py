"""Finished rankings become a dataset version. A moment's work, which training does by itself too."""

from __future__ import annotations

from typing import Any

from annotation.models import Project, User
from refl.loop.facts import Facts
from refl.loop.step import Started, State, Status, Step, counted
from rewardmodel.models import DatasetVersion, TrainingPolicy
from rewardmodel.runs.policies import policy_config
from rewardmodel.selectors import rankings_since
from rewardmodel.services.datasets import freeze_dataset


def read(facts: Facts) -> Status:
    dataset = facts.dataset
    changed = outcome(dataset) if dataset else ""
    new = rankings_since(dataset, finished=facts.finished)
    if not facts.finished:
        return Status(State.WAITING, missing=("rankings that are accepted",), changed=changed)
    if not new:
        return Status(State.DONE, "every accepted ranking is in the newest version", changed=changed)
    policy = facts.training_policy
    if policy is None or not policy.enabled:
        return Status(State.OFF, f"{counted(new, 'ranking')} not frozen yet", changed=changed)
    if facts.new_rankings < policy.retrain_after:
        missing = f"{policy.retrain_after - facts.new_rankings:,} more rankings"
        progress = (facts.new_rankings, policy.retrain_after)
        return Status(State.WAITING, missing=(missing,), progress=progress, changed=changed)
    return Status(State.READY, "training freezes them when it starts", changed=changed)


def start(project: Project, *, by: User | None = None, because: str = "", **options: Any) -> Started:
    """Freeze what is finished now.

    Args: options: of `freeze_dataset`; without them as the project's policy trains.
    Raises: NothingToFreeze.
    """
    config = policy_config(TrainingPolicy, project)
    policys = {"soft_labels": bool(config.get("soft_labels")), "ratings": bool(config.get("aspects"))}
    newest = DatasetVersion.objects.filter(project=project).order_by("-pk").first()
    dataset = freeze_dataset(project=project, by=by, because=because, **{**policys, **options})
    if dataset == newest:
        return Started(f"Nothing is new: dataset {dataset} has every finished ranking.", dataset=dataset)
    return Started(f"Dataset {dataset} is frozen: {outcome(dataset)}.", dataset=dataset)


def outcome(dataset: DatasetVersion) -> str:
    """Return how much the version holds."""
    rankings, pairs = (
        sum(split[name] for split in dataset.counts.values()) for name in ("rankings", "pairs")
    )
    return f"{counted(rankings, 'ranking')}, {counted(pairs, 'pair')}"


STEP = Step(
    key="freeze",
    title="Freeze a dataset",
    about="Accepted rankings become a dataset version that never changes, split by prompt.",
    read=read,
    start=start,
    outcome=outcome,
)

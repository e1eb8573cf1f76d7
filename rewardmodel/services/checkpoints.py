"""Reward models: registering, recording what a run made, promoting."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from django.db import transaction

from annotation.models import Project, User
from annotation.registry import register_action, register_event
from annotation.services.actions import record_action
from annotation.services.webhooks.events import announce
from rewardmodel.models import RewardCheckpoint, TrainingRun

CHECKPOINT_PROMOTED = register_event("checkpoint.promoted", "A reward model was promoted")
PROMOTED = register_action("checkpoint.promoted", "Reward model promoted")

RUNS_NAME = re.compile(r"reward-[0-9]+")  # what `record_checkpoint` calls them


class NotComparable(Exception):
    """The checkpoint was not evaluated on the same pairs as the one promoted now."""


class NameTaken(Exception):
    """A run of the project made a checkpoint of that name, or may come to."""


@transaction.atomic
def register_checkpoint(*, project: Project, name: str, folder: str) -> RewardCheckpoint:
    """Register a reward model that no run trained, for training to start from. Repeating it changes nothing.

    Args: folder: a folder, absolute or below the project's root, or a hub id.
    Raises: NameTaken.
    """
    if RUNS_NAME.fullmatch(name):  # else the run of that number could not keep what it learned
        raise NameTaken(f"{name!r} is a name that a training run gives to what it makes: choose another")
    checkpoint, created = RewardCheckpoint.objects.get_or_create(
        project=project, name=name, defaults={"folder": folder}
    )
    if checkpoint.run_id is not None:
        raise NameTaken(f"{project.slug}: {name!r} was made by {checkpoint.run}")
    if not created and checkpoint.folder != folder:
        checkpoint.folder = folder
        checkpoint.save(update_fields=["folder"])
    return checkpoint


@transaction.atomic
def record_checkpoint(*, run: TrainingRun, metrics: Mapping[str, Any]) -> RewardCheckpoint:
    """Record a run's checkpoint with its metrics: one for each run, however often it is resumed."""
    checkpoint, _ = RewardCheckpoint.objects.update_or_create(
        run=run, defaults={"project": run.project, "name": f"reward-{run.pk}", "metrics": dict(metrics)}
    )
    return checkpoint


@transaction.atomic
def promote(checkpoint: RewardCheckpoint, *, now: datetime, by: User | None = None) -> None:
    """Make it the project's reward model, in place of the previous one.

    Args: by: who promotes it, for the log; None for a run or command.
    """
    _lock(checkpoint.project_id)
    RewardCheckpoint.objects.filter(project=checkpoint.project_id, promoted=True).update(promoted=False)
    checkpoint.promoted, checkpoint.promoted_at = True, now
    checkpoint.save(update_fields=["promoted", "promoted_at"])
    data = {"checkpoint": checkpoint.name, "location": checkpoint.location}
    record_action(PROMOTED, project=checkpoint.project_id, by=by, subject=checkpoint.name)
    announce(CHECKPOINT_PROMOTED, project=checkpoint.project, data=data)


@transaction.atomic
def promote_if_better(checkpoint: RewardCheckpoint, *, now: datetime) -> bool:
    """Promote it if its accuracy on the test split is higher than the promoted checkpoint's.

    Where none is promoted yet, it has to beat the checkpoint that its run started from.

    Returns: whether it was promoted.
    Raises: NotComparable.
    """
    _lock(checkpoint.project_id)
    rival = RewardCheckpoint.objects.promoted().filter(project=checkpoint.project_id).first()
    if rival is None:
        if checkpoint.run is None:
            raise NotComparable(f"{checkpoint} was made by no run: promote it by hand")
        rival = checkpoint.run.initial
    accuracies = {other["id"]: other["accuracy"] for other in checkpoint.metrics.get("beside", [])}
    if rival.pk not in accuracies:
        raise NotComparable(f"{checkpoint} was not evaluated beside {rival}")
    if checkpoint.metrics["accuracy"] <= accuracies[rival.pk]:
        return False
    promote(checkpoint, now=now)
    return True


def _lock(project: int) -> None:
    """Serialise promotions within a project."""
    Project.objects.select_for_update(no_key=True).get(pk=project)

"""Reward models: registering, recording what a run made, promoting."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from django.db import transaction

from annotation import stored_files
from annotation.models import Project, User
from annotation.places import on_this_host, to_any_host
from annotation.registry import register_action, register_event
from annotation.services.actions import record_action
from annotation.services.webhooks.events import announce
from rewardmodel.models import RewardCheckpoint, TrainingRun
from rewardmodel.models.checkpoints import percentage

CHECKPOINT_PROMOTED = register_event("checkpoint.promoted", "A reward model was promoted")
PROMOTED = register_action("checkpoint.promoted", "Reward model promoted")

Verdict = RewardCheckpoint.Verdict
# The rules by which a checkpoint is promoted or not, and what people call them.
RULES = {"sure": "sure enough", "first": "the first that learned here", "by hand": "by hand"}
RUNS_NAME = re.compile(r"reward-[0-9]+")  # what `record_checkpoint` calls them


class NameTaken(Exception):
    """A run of the project made a checkpoint of that name, or may come to."""


@transaction.atomic
def register_checkpoint(*, project: Project, name: str, folder: str) -> RewardCheckpoint:
    """Register a reward model that no run trained, for training to start from. Repeating it changes nothing.

    Args: folder: a folder, absolute or below the project's root, or a hub id. One below LAUREL_VAR is
        stored for every host.
    Raises: NameTaken.
    """
    folder = to_any_host(folder)
    stored_files.store(Path(on_this_host(folder)))
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
def promote(
    checkpoint: RewardCheckpoint,
    *,
    now: datetime,
    by: User | None = None,
    decision: Mapping[str, Any] | None = None,
) -> None:
    """Make it the project's reward model, in place of the previous one. One that waited has been superseded.

    Args:
        by: who promotes it, for the log; None for a run or command.
        decision: what the project's rule decided by; None where it is promoted by hand, whatever its figures.
    """
    lock_promotions(checkpoint.project_id)
    previous = RewardCheckpoint.objects.promoted().filter(project=checkpoint.project_id).first()
    others = RewardCheckpoint.objects.filter(project=checkpoint.project_id)
    others.filter(promoted=True).update(promoted=False)
    others.waiting().exclude(pk=checkpoint.pk).update(verdict=Verdict.SUPERSEDED)
    checkpoint.verdict = Verdict.BY_HAND if decision is None else Verdict.BETTER
    checkpoint.decision = dict(decision) if decision is not None else _by_hand(checkpoint, previous)
    checkpoint.promoted, checkpoint.promoted_at = True, now
    checkpoint.save(update_fields=["verdict", "decision", "promoted", "promoted_at"])
    data = {"checkpoint": checkpoint.name, "location": checkpoint.location, "decision": checkpoint.decision}
    details: dict[str, Any] = describe_decision(checkpoint.decision)
    record_action(PROMOTED, project=checkpoint.project_id, by=by, subject=checkpoint.name, **details)
    announce(CHECKPOINT_PROMOTED, project=checkpoint.project, data=data)


def lock_promotions(project: int) -> None:
    """Serialise promotions within a project, by its id, until the transaction ends."""
    Project.objects.select_for_update(no_key=True).get(pk=project)


def describe_decision(decision: Mapping[str, Any]) -> dict[str, str]:
    """Return what the log shows of a decision, in words by name."""
    shown = {"rule": RULES[decision["rule"]]}
    if "probability" in decision:
        shown["better than " + decision["over"]] = (
            f"{percentage(decision['probability'])} likely, on {decision['pairs']:,} pairs"
        )
    if decision["rule"] == "sure":
        shown["wanted"] = f"{percentage(decision['wanted'])} on {decision['least']:,} pairs"
    if decision.get("waits_for"):
        shown["waits for"] = f"{decision['waits_for']:,} pairs"
    return shown


def _by_hand(checkpoint: RewardCheckpoint, previous: RewardCheckpoint | None) -> dict[str, Any]:
    """What is known of a promotion that somebody asked for, whatever the figures."""
    beside = {rival["id"]: rival for rival in checkpoint.metrics.get("beside", [])}
    rival = beside.get(previous.pk, {}) if previous is not None else {}
    decision = {"rule": "by hand"}
    if "probability" in rival:
        decision |= {
            "over": rival["name"],
            "difference": rival["difference"],
            "interval": rival["difference_interval"],
            "probability": rival["probability"],
            "pairs": checkpoint.metrics["pairs"],
            "prompts": checkpoint.metrics["prompts"],
            "dataset": checkpoint.metrics["dataset"],
        }
    return decision

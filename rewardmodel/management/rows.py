"""Rows as command lines name them and print them."""

from __future__ import annotations

from typing import TypeVar

from django.core.management.base import CommandError
from django.db.models import Model, QuerySet

from annotation.models import Project
from rewardmodel.models import DatasetVersion, RewardCheckpoint

M = TypeVar("M", bound=Model)


def find_dataset(project: Project, start: str) -> DatasetVersion:
    """The dataset version whose hash starts so. Raises: CommandError when there is none, or more than one."""
    found = list(DatasetVersion.objects.filter(project=project, hash__startswith=start)[:2])
    if len(found) != 1:
        why = "more than one dataset starts" if found else "no dataset starts"
        raise CommandError(f"{project.slug}: {why} with {start!r}")
    return found[0]


def find_checkpoint(project: Project, name: str) -> RewardCheckpoint:
    """Raises: CommandError naming the checkpoints there are."""
    return find_named(RewardCheckpoint.objects.all(), project, name, what="checkpoint")


def find_named(rows: QuerySet[M], project: Project, name: str, *, what: str) -> M:
    """The project's row of that name. Raises: CommandError naming those there are."""
    ours = rows.filter(project=project)
    found = ours.filter(name=name).first()
    if found is None:
        there = ", ".join(ours.values_list("name", flat=True)) or "none"
        raise CommandError(f"{project.slug}: no {what} {name!r}; there is: {there}")
    return found


def describe_checkpoint(checkpoint: RewardCheckpoint) -> str:
    """Accuracy with its interval; beside it those of its rivals, and of people where known."""
    metrics = checkpoint.metrics
    if not metrics:
        return f"{checkpoint}: not evaluated"
    low, high = metrics["interval"]
    promoted = ", promoted" if checkpoint.promoted else ", not promoted"
    lines = [
        f"{checkpoint}: {metrics['accuracy']:.1%} ({low:.1%} to {high:.1%}) "
        f"of {metrics['pairs']} test pairs of {metrics['prompts']} prompts{promoted}"
    ]
    for rival in metrics["beside"]:
        low, high = rival["difference_interval"]
        lines.append(
            f"  {rival['name']}: {rival['accuracy']:.1%}; "
            f"{checkpoint} less that: {rival['difference']:+.1%} ({low:+.1%} to {high:+.1%})"
        )
    if metrics["ceiling"] is not None:
        lines.append(f"  people: {metrics['ceiling']:.1%}")
    return "\n".join(lines)

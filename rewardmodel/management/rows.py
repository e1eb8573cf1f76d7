"""Rows as command lines name them and print them."""

from __future__ import annotations

from typing import TypeVar

from django.core.management.base import CommandError
from django.db.models import Model, QuerySet

from annotation.models import Project
from annotation.statistics.notation import percent, percent_interval
from rewardmodel.models import DatasetVersion, RewardCheckpoint
from rewardmodel.templatetags.figures import gain, gain_interval

M = TypeVar("M", bound=Model)


def find_dataset(project: Project, start: str) -> DatasetVersion:
    """Return the dataset version whose hash starts so. Raises: CommandError unless there is exactly one."""
    datasets = list(DatasetVersion.objects.filter(project=project, hash__startswith=start)[:2])
    if len(datasets) != 1:
        why = "more than one dataset starts" if datasets else "no dataset starts"
        raise CommandError(f"{project.slug}: {why} with {start!r}")
    return datasets[0]


def find_checkpoint(project: Project, name: str) -> RewardCheckpoint:
    """Return the project's checkpoint of that name. Raises: CommandError naming those there are."""
    return find_named(RewardCheckpoint.objects.all(), project, name, what="checkpoint")


def find_named(rows: QuerySet[M], project: Project, name: str, *, what: str) -> M:
    """Return the project's row of that name. Raises: CommandError naming those there are."""
    candidates = rows.filter(project=project)
    row = candidates.filter(name=name).first()
    if row is None:
        names = ", ".join(candidates.values_list("name", flat=True)) or "none"
        raise CommandError(f"{project.slug}: no {what} {name!r}; there is: {names}")
    return row


def describe_checkpoint(checkpoint: RewardCheckpoint) -> str:
    """Accuracy with its interval, and the decision about promoting it; its rivals; people where known."""
    metrics = checkpoint.metrics
    promoted = ", promoted" if checkpoint.promoted else ", not promoted"
    if not metrics:
        return f"{checkpoint}: not evaluated{promoted}{_decision(checkpoint)}"
    low, high = metrics["interval"]
    lines = [
        f"{checkpoint}: {percent(metrics['accuracy'])} ({percent_interval(low, high)}) "
        f"of {metrics['pairs']} test pairs of {metrics['prompts']} prompts{promoted}{_decision(checkpoint)}"
    ]
    for rival in metrics["beside"]:
        low, high = rival["difference_interval"]
        lines.append(
            f"  {rival['name']}: {percent(rival['accuracy'])}; {checkpoint} less that, in points: "
            f"{gain(rival['difference'])} ({gain_interval((low, high))})"
        )
    if metrics["ceiling"] is not None:
        lines.append(f"  people: {percent(metrics['ceiling'])}")
    return "\n".join(lines)


def _decision(checkpoint: RewardCheckpoint) -> str:
    return f" ({checkpoint.decision_in_words})" if checkpoint.decision else ""

"""What ran in a project's loop: when, why, and what it changed."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from annotation.models import Project, User
from refl.loop.facts import runs_of_steps
from refl.loop.step import Step
from refl.loop.steps import STEPS
from rewardmodel.models import DatasetVersion, Run
from rewardmodel.services.datasets import FROZEN

LISTED = 12  # newest entries


@dataclass(frozen=True)
class Entry:
    """Something that ran.

    Attributes:
        run: None of a dataset version, which is frozen in a moment.
        why: by whom it was asked for, or what came due.
        changed: what it changed, in figures; "" of what is under way.
    """

    step: Step
    at: datetime
    name: str
    run: Run | None
    why: str
    changed: str


def read_history(project: Project) -> list[Entry]:
    """Return what ran in the project's loop, the newest first."""
    entries = [
        Entry(step, run.created_at, str(run), run, why_of(run), step.outcome(run) if run.is_over else "")
        for step in STEPS.values()
        if step.model is not None
        for run in runs_of_steps(step.model).filter(project=project)[:LISTED]
    ]
    freeze = STEPS["freeze"]
    logged = project.actions.filter(kind=FROZEN).select_related("actor")[:LISTED]
    frozen = {action.subject: action for action in logged}
    for dataset in DatasetVersion.objects.filter(project=project)[:LISTED]:
        name, action = f"dataset {dataset}", frozen.get(str(dataset))
        why = _in_words(action.actor, action.details.get("because", "")) if action else ""
        entries.append(Entry(freeze, dataset.created_at, name, None, why, freeze.outcome(dataset)))
    for study in project.studies.select_related("run__project", "run__requested_by")[:LISTED]:
        step = STEPS["study"]
        name = f"study {study}"
        entries.append(Entry(step, study.created_at, name, study.run, why_of(study.run), step.outcome(study)))
    return sorted(entries, key=lambda entry: entry.at, reverse=True)[:LISTED]


def why_of(run: Run) -> str:
    """Return who asked for the run, or what came due."""
    return _in_words(run.requested_by, run.because)


def _in_words(by: User | None, because: str) -> str:
    return f"asked for by {by.username}" if by is not None else because or "a command"

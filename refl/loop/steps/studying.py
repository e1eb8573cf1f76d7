"""People compare the newest kept generator, blind, with the one that it was tuned from."""

from __future__ import annotations

import random
from typing import Any

from django.utils.timezone import now

from annotation.models import Project, User
from refl.loop.facts import Facts
from refl.loop.step import (
    Started,
    State,
    Status,
    Step,
    StepBusy,
    StepRefused,
    counted,
    failed_status,
    run_status,
)
from refl.models import Generator, Study
from refl.selectors.generators import newest_kept
from refl.services.studies import close_study, open_study
from rewardmodel.models import Run

CLOSED = "Closed from the page of the loop."


def read(facts: Facts) -> Status:
    study, newest = facts.study, facts.generator
    if study is not None and study.state == Study.State.DRAWING:
        if study.run.state == Run.State.FAILED:
            return failed_status(study.run)
        return run_status(study.run, doing=f"makes the images of {study}")
    if study is not None and study.state == Study.State.OPEN:
        note = f"{study}: {counted(facts.study_wanted - facts.study_answered, 'opinion')} wanted"
        return Status(State.RUNNING, note, progress=(facts.study_answered, facts.study_wanted))
    changed = outcome(study) if study is not None else ""
    if newest is None or newest.parent is None:
        return Status(State.WAITING, missing=("a tuned generator that is kept",), changed=changed)
    if not facts.is_studied:
        return Status(State.OFF, f"nobody has compared {newest} with {newest.parent} yet", changed=changed)
    return Status(State.DONE, f"people have compared {newest}", changed=changed)


def start(project: Project, *, by: User | None = None, because: str = "", **options: Any) -> Started:
    """Open a study, by default of the newest kept generator against its parent.

    Args: options: of `open_study`.
    Raises: StepBusy, StepRefused, NoGenerator, CannotStudy.
    """
    under_way = Study.objects.filter(project=project).exclude(state=Study.State.CLOSED).first()
    if under_way is not None:
        raise StepBusy(f"study {under_way} is under way already: close it first")
    defaults: dict[str, Any] = {
        "rng": random.Random(),
        "generators": options.get("generators") or _compared(project),
    }
    study = open_study(project=project, by=by, because=because, **{**defaults, **options})
    return Started(f"Study {study}: its images are made, then people are asked.", run=study.run)


def _compared(project: Project) -> list[Generator]:
    newest = newest_kept(project)
    if newest.parent is None:
        raise StepRefused(f"there is nothing to compare {newest} with: tune a generator first")
    return [newest.parent, newest]


def cancel(project: Project, by: User | None) -> str:
    """Close the study that is under way. Raises: StepRefused where none is."""
    study = Study.objects.filter(project=project).exclude(state=Study.State.CLOSED).first()
    if study is None:
        raise StepRefused("Study: no study is under way, nothing to cancel")
    close_study(study, reason=CLOSED, now=now(), by=by)
    return f"Study {study} is closed."


def outcome(study: Study) -> str:
    """Return how a study ended; "" of one that is under way."""
    return f"{study}: {study.reason}" if study.reason else ""


STEP = Step(
    key="study",
    title="Study",
    about="People compare the tuned generator with the one before, blind, on held-out prompts.",
    read=read,
    start=start,
    outcome=outcome,
    cancel=cancel,
)

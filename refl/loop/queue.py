"""The one queue of steps: the page, the API, the schedule and `run_loop` all start what they start here."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from django.db import transaction

from annotation.jobs import JobLost
from annotation.models import Project, User
from refl.loop.facts import Facts, read_facts
from refl.loop.step import Started, State, Status, Step, StepBusy, StepRefused
from refl.loop.steps import STEPS
from refl.models import StepRefusal
from refl.selectors.generators import NoGenerator
from refl.services.sampling import CannotSample
from refl.services.study_plans import CannotStudy
from refl.services.tuning import CannotTune
from rewardmodel.models import Run
from rewardmodel.runs import states
from rewardmodel.runs.policies import lock_policy
from rewardmodel.selectors import NothingPromoted, NothingRegistered
from rewardmodel.services.datasets import NothingToFreeze
from rewardmodel.services.evaluations import CannotEvaluate
from rewardmodel.services.training import NotTrainable

REFUSALS = (
    *(CannotEvaluate, CannotSample, CannotStudy, CannotTune, JobLost, NoGenerator, NothingPromoted),
    *(NothingRegistered, NothingToFreeze, NotTrainable),
)


def read_step(step: Step, facts: Facts) -> Status:
    """Return how the step stands. One that is due but could not start waits for what it lacks."""
    status, refusal = step.read(facts), facts.refusals.get(step.key)
    if status.state == State.READY and refusal:
        return replace(status, state=State.WAITING, missing=(refusal,))
    return status


def read_loop(facts: Facts) -> dict[str, Status]:
    """Return how each step stands, by its key, in the order of the loop."""
    return {key: read_step(step, facts) for key, step in STEPS.items()}


@transaction.atomic
def start_step(
    project: Project, key: str, *, by: User | None = None, because: str = "", **options: Any
) -> Started:
    """Start a step, due or not. Of two who ask at once, one is told that it is under way.

    Args:
        by, because: who asks, or why it is started where nobody does; for the log and the history.
        options: of the step's own `start`.
    Raises: StepBusy, StepRefused.
    """
    step, status = STEPS[key], _locked_status(project, key)
    if status.is_under_way:
        raise StepBusy(f"{step.title}: {status.run} is under way already")
    _forget_refusal(project, key)
    return _start(step, project, by=by, because=because, **options)


@transaction.atomic
def repeat_step(project: Project, key: str, *, by: User | None = None) -> Started:
    """Do a step again: a run that failed goes on where it stopped, else there is a new one.

    Raises: StepBusy, StepRefused.
    """
    status = _locked_status(project, key)
    if status.run is None or status.state != State.FAILED:
        return start_step(project, key, by=by)
    states.retry(status.run, by=by)
    _forget_refusal(project, key)
    return Started(f"{str(status.run).capitalize()} goes on where it stopped.", run=status.run)


@transaction.atomic
def cancel_step(project: Project, key: str, *, now: datetime, by: User | None = None) -> str:
    """Cancel what is under way, and say so. Raises: StepRefused where nothing is."""
    step, status = STEPS[key], _locked_status(project, key)
    if step.cancel is not None:
        return step.cancel(project, by)
    if status.run is None:
        raise StepRefused(f"{step.title}: nothing is under way")
    try:
        states.cancel(status.run, now=now, by=by)
    except JobLost:
        raise StepRefused(f"{step.title}: {status.run} is {status.run.state} already") from None
    return f"{str(status.run).capitalize()} is cancelled."


def start_due(key: str) -> Iterator[Run | StepRefused]:
    """Start a step in every project where it is due, and yield each run; or why there is none."""
    step = STEPS[key]
    assert step.policy is not None
    for policy in step.policy._default_manager.filter(enabled=True).select_related("project").order_by("pk"):
        try:
            with transaction.atomic():
                run = _start_if_due(step, policy)
        except StepRefused as refusal:
            StepRefusal.objects.update_or_create(
                project=policy.project, step=key, defaults={"reason": str(refusal)}
            )
            yield refusal
            continue
        if run is not None:
            yield run


def _start_if_due(step: Step, policy: Any) -> Run | None:
    """Raises: StepRefused where the step is due and cannot start."""
    locked = lock_policy(policy)
    if locked is None:
        return None
    _forget_refusal(locked.project, step.key)
    status = _locked_status(locked.project, step.key)
    if status.state != State.READY:
        return None
    return _start(step, locked.project, because=status.because, **step.when_due).run


def _start(step: Step, project: Project, **options: Any) -> Started:
    try:
        return step.start(project, **options)
    except REFUSALS as error:
        raise StepRefused(str(error)) from error


def _forget_refusal(project: Project, key: str) -> None:
    """Drop why the schedule could not start the step; rolled back where it is refused once more."""
    StepRefusal.objects.filter(project=project, step=key).delete()


def _locked_status(project: Project, key: str) -> Status:
    """Lock the project, so that two do not start a step at once, and read how the step stands."""
    Project.objects.select_for_update(no_key=True).get(pk=project.pk)
    return STEPS[key].read(read_facts([project])[project.pk])


def in_words(statuses: Mapping[str, Status]) -> str:
    """Return where the loop stands, in a sentence or two: the step to look at, and what comes after it."""
    order = (State.FAILED, State.RUNNING, State.READY, State.WAITING, State.OFF, State.DONE)
    keys = list(statuses)
    key = min(keys, key=lambda key: order.index(statuses[key].state))
    sentence = _sentence(STEPS[key], statuses[key])
    after = keys[(keys.index(key) + 1) % len(keys)]
    if statuses[key].state != State.RUNNING or statuses[after].state == State.RUNNING:
        return sentence
    waits = f", which waits for {statuses[after].missing[0]}" if statuses[after].missing else ""
    return f"{sentence} Then: {STEPS[after].title.lower()}{waits}."


def _sentence(step: Step, status: Status) -> str:
    so_far = " ({:,} of {:,})".format(*status.progress) if status.progress else ""
    return {
        State.FAILED: f"{step.title} failed: {status.note}",
        State.RUNNING: f"{step.title}: {status.note}{so_far}.",
        State.READY: f"{step.title} starts soon: {status.because}.",
        State.WAITING: f"{step.title} waits for {(*status.missing, '')[0]}.",
        State.OFF: f"{step.title} can be started: {status.note}.",
        State.DONE: "Every step is done.",
    }[status.state]

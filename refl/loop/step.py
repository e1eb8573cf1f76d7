"""What a step of the loop is: how it stands, and what may be asked of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from annotation.models import Project, User
from refl.models import TuningPolicy
from rewardmodel.models import DatasetVersion, Run, TrainingPolicy

if TYPE_CHECKING:
    from refl.loop.facts import Facts


class State(StrEnum):
    """How a step stands. The states of its newest run are another matter: see `Status.run`."""

    DONE = "done"  # it has done all that there is to do for now
    RUNNING = "running"
    WAITING = "waiting"  # for what `Status.missing` says
    READY = "ready"  # the schedule starts it at its next look
    OFF = "off"  # nothing is missing, but it starts by hand only
    FAILED = "failed"


class StepRefused(Exception):
    """The step cannot do what was asked; the message says why, or what is missing."""


class StepBusy(StepRefused):
    """The step is under way already."""


@dataclass(frozen=True)
class Status:
    """How a step of a project stands.

    Attributes:
        note: one line about it.
        missing: what it waits for, each with its number; of a step that waits, at least one.
        because: why the schedule is to start it, where it is ready.
        run: that is under way, or was the last; None where there was none, or people do the work.
        progress: how much of how much is done, where it is running.
        changed: what it changed last, in figures.
    """

    state: State
    note: str = ""
    missing: tuple[str, ...] = ()
    because: str = ""
    run: Run | None = None
    progress: tuple[int, int] | None = None
    changed: str = ""

    @property
    def is_under_way(self) -> bool:
        """Whether a run of it is queued or running."""
        return self.run is not None and not self.run.is_over


@dataclass(frozen=True)
class Started:
    """What a start did, in a sentence for whoever asked, and the row that came of it, if any."""

    sentence: str
    run: Run | None = None
    dataset: DatasetVersion | None = None


@dataclass(frozen=True)
class Step:
    """One step of the loop.

    Attributes:
        key: its name in addresses and in the API.
        about: what it does, in a line.
        read: how it stands, from the facts of a project; asks the database nothing.
        start: begins it, whether it is due or not: `start(project, by=, because=, **options)`, with options
            of its own that default to the project's policy. Raises `REFUSALS`.
        outcome: what a run of the step changed, or a dataset that it froze, in figures; "" for nothing.
        model: of the runs that do it; None where none does, or those of another step.
        policy: what says whether it starts by itself; None of a step that always starts by hand, or with the
            one before it.
        when_due: options of `start` where the schedule starts it.
        cancel: stops what no run does; None of a step that runs do, which are cancelled.
        comes_with: what it is a part of, where it does not start by itself or by hand; "" of all others.
    """

    key: str
    title: str
    about: str
    read: Callable[[Facts], Status]
    start: Callable[..., Started]
    outcome: Callable[[Any], str] = lambda run: ""
    model: type[Run] | None = None
    policy: type[TrainingPolicy] | type[TuningPolicy] | None = None
    when_due: Mapping[str, Any] = field(default_factory=dict)
    cancel: Callable[[Project, User | None], str] | None = None
    comes_with: str = ""


def run_status(run: Run, *, doing: str, changed: str = "") -> Status:
    """Return the status of a step whose run is under way.

    Args: doing: what it does, as in "trains".
    """
    if run.cancel_requested:
        note = "stops after this step"
    elif run.state == Run.State.QUEUED:
        note = "waits for a worker"
    else:
        note = doing
    progress = (run.step, run.steps) if run.steps else None
    return Status(State.RUNNING, note, run=run, progress=progress, changed=changed)


def failed_status(run: Run, *, changed: str = "") -> Status:
    """Return the status of a step whose run failed, with why it did."""
    return Status(State.FAILED, run.failure, run=run, changed=changed)


def off_or(state: State, *, by_itself: bool) -> State:
    """Return the state, or OFF for a step that starts by hand only."""
    return state if by_itself else State.OFF


def counted(number: int, noun: str, plural: str = "") -> str:
    """1, ranking -> 1 ranking; 1200, ranking -> 1,200 rankings."""
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"

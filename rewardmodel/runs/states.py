"""How runs move from state to state, whatever they do."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, TypeVar

from django.apps import apps
from django.db import transaction
from django.db.models import Case, F, Value, When
from django.db.models.functions import Coalesce

from annotation.models import Action, Kind, User
from annotation.services.actions import record_action
from annotation.services.webhooks.events import announce
from rewardmodel.models import Run

logger = logging.getLogger(__name__)
State = Run.State
R = TypeVar("R", bound=Run)

# The only moves a run may make; a state that is no key is final.
MOVES = {
    State.QUEUED: {State.RUNNING, State.CANCELLED},
    State.RUNNING: {State.FINISHED, State.FAILED, State.QUEUED, State.CANCELLED},  # QUEUED: interrupted
    State.FAILED: {State.QUEUED},  # by hand
}
# A run is held back so long after its first, second ... crash; one crash more and it has failed.
BACK_OFF = (timedelta(seconds=10), timedelta(seconds=60))


class RunLost(Exception):
    """The run moved on without us: it is over, or another worker has it."""


def run_models() -> list[type[Run]]:
    """Every kind of run, of this app and those above it."""
    return [model for model in apps.get_models() if issubclass(model, Run)]


def move(run: Run, to: State, **fields: Any) -> None:
    """Move the run and set fields in one UPDATE. Raises: RunLost when it moved on without us."""
    sources = [state for state, targets in MOVES.items() if to in targets]
    _update_fenced(run, sources, state=to, **fields)


def claim(run: Run, *, now: datetime) -> None:
    """Take a queued run for this worker. Raises: RunLost when it is over or another's."""
    move(
        run,
        State.RUNNING,
        attempt=run.attempt + 1,
        heartbeat=now,
        started_at=Coalesce(F("started_at"), Value(now)),
        not_before=None,
    )


def beat(run: Run, *, now: datetime, **fields: Any) -> None:
    """Say that the run lives, and learn whether it is to be cancelled. Raises: RunLost."""
    assert run.heartbeat is not None
    seconds = run.seconds + (now - run.heartbeat).total_seconds()
    _update_fenced(run, [State.RUNNING], heartbeat=now, seconds=seconds, **fields)
    run.refresh_from_db(fields=["cancel_requested"])


@transaction.atomic
def record_progress(
    run: Run,
    *,
    now: datetime,
    step: int,
    steps: int,
    points: Mapping[int, Mapping[str, float]],
    peak_memory: int | None = None,
) -> None:
    """Beat, and keep what was measured. A step measured again, by a resumed run, takes the new values.

    Args:
        points: step -> name -> value, for every step since the last call.
        peak_memory: bytes, of this process; the row keeps the largest.
    Raises: RunLost.
    """
    peak = max(run.peak_memory or 0, peak_memory or 0) or None
    beat(run, now=now, step=step, steps=steps, peak_memory=peak)
    if points:
        model = run.points.model
        model._default_manager.bulk_create(
            [model(run=run, step=at, values=dict(values)) for at, values in points.items()],
            update_conflicts=True,
            unique_fields=["run", "step"],
            update_fields=["values"],
        )


@transaction.atomic
def finish(run: Run, *, now: datetime) -> None:
    """The work is done. Raises: RunLost."""
    move(run, State.FINISHED, finished_at=now, error="", cancel_requested=False)
    announce(Kind.RUN_FINISHED, project=run.project, data={"run": run.pk, "kind": run.kind})


@transaction.atomic
def fail(run: Run, *, error: str, now: datetime) -> None:
    """The work cannot be done. Raises: RunLost."""
    move(run, State.FAILED, finished_at=now, error=error)
    announce(Kind.RUN_FAILED, project=run.project, data={"run": run.pk, "kind": run.kind, "error": error})


def release(run: Run, *, now: datetime) -> None:
    """Give an interrupted run back to the queue; one to be cancelled is cancelled. Raises: RunLost."""
    _update_fenced(run, [State.RUNNING], **_given_up(now))


def record_crash(run: Run, *, error: str, now: datetime) -> None:
    """The process of a running run died: queue the run again, later each time; at last let it fail.

    Raises: RunLost.
    """
    if run.crashes < len(BACK_OFF):
        later = now + BACK_OFF[run.crashes]
        crashes = run.crashes + 1
        _update_fenced(run, [State.RUNNING], **_given_up(now), error=error, crashes=crashes, not_before=later)
    else:
        fail(run, error=error, now=now)


def record_request(run: R, *, by: User | None) -> R:
    """Log that somebody asked for the run, or None where it came due by itself; returns it."""
    record_action(Action.Kind.RUN_REQUESTED, project=run.project_id, by=by, subject=run)
    return run


@transaction.atomic
def cancel(run: Run, *, now: datetime, by: User | None = None) -> None:
    """Take the run out of the queue, or ask its worker to stop. Raises: RunLost when it is over."""
    ours = type(run)._default_manager.filter(pk=run.pk)
    left_queue = ours.filter(state=State.QUEUED).update(state=State.CANCELLED, finished_at=now)
    if not left_queue and not ours.filter(state=State.RUNNING).update(cancel_requested=True):
        raise RunLost(f"{run} is over: nothing to cancel")
    record_action(Action.Kind.RUN_CANCELLED, project=run.project_id, by=by, subject=run)
    run.refresh_from_db()


@transaction.atomic
def retry(run: Run, *, by: User | None = None) -> None:
    """Queue a failed run again, by hand; it resumes from its last checkpoint. Raises: RunLost."""
    move(run, State.QUEUED, finished_at=None, error="", crashes=0, not_before=None)
    record_action(Action.Kind.RUN_RETRIED, project=run.project_id, by=by, subject=run)


def requeue_silent(model: type[Run], *, now: datetime) -> int:
    """Take runs from workers that fell silent, and say how many."""
    count = model.objects.silent(now=now).update(**_given_up(now))
    if count:
        logger.warning("%d silent run(s) of %s taken from their workers", count, model.__name__)
    return count


def _given_up(now: datetime) -> dict[str, Any]:
    """Fields of a run that nobody works at any more. One statement, so that no cancel slips in between."""
    return {
        "state": Case(When(cancel_requested=True, then=Value(State.CANCELLED)), default=Value(State.QUEUED)),
        "finished_at": Case(When(cancel_requested=True, then=Value(now)), default=None),
        "cancel_requested": False,
    }


def _update_fenced(run: Run, sources: list[State], **fields: Any) -> None:
    """One UPDATE that names the state and the attempt expected; the run in hand follows. Raises: RunLost."""
    ours = type(run)._default_manager.filter(pk=run.pk, attempt=run.attempt, state__in=sources)
    if ours.update(**fields) != 1:
        raise RunLost(f"{run}, attempt {run.attempt}: not {' or '.join(sources)} any more")
    computed = []
    for name, value in fields.items():
        if hasattr(value, "resolve_expression"):
            computed.append(name)
        else:
            setattr(run, name, value)
    if computed:
        run.refresh_from_db(fields=computed)

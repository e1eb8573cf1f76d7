"""The life of durable jobs: queued, claimed, with heartbeats, then finished, failed, or queued again.

Every write is one UPDATE that names the expected state and attempt: of two workers one wins, and one that was
presumed dead can no longer write. Further `fields` are set in the same statement: what a kind of job records
with the move.
"""

from __future__ import annotations

import logging
from datetime import datetime
from typing import Any

from django.db.models import Case, F, Value, When

from annotation.models import Job

logger = logging.getLogger(__name__)
State = Job.State

# The only moves a job may make; a state that is no key is final.
MOVES = {
    State.QUEUED: {State.RUNNING, State.CANCELLED},
    State.RUNNING: {State.FINISHED, State.FAILED, State.QUEUED, State.CANCELLED},  # QUEUED: interrupted
    State.FAILED: {State.QUEUED},  # by hand
}


class JobLost(Exception):
    """This process no longer has the job: it has ended, or another worker has it."""


def claim(job: Job, *, now: datetime, **fields: Any) -> None:
    """Claim a queued job for this worker. Raises: JobLost when it has ended or another worker has it."""
    move(job, State.RUNNING, attempt=job.attempt + 1, heartbeat=now, **fields)


def heartbeat(job: Job, *, now: datetime, **fields: Any) -> None:
    """Record a heartbeat, and read back whether the job is to be cancelled. Raises: JobLost."""
    _update_fenced(job, [State.RUNNING], heartbeat=now, **fields)
    job.refresh_from_db(fields=["cancel_requested"])


def finish(job: Job, *, now: datetime, **fields: Any) -> None:
    """Record that the job is finished. Raises: JobLost."""
    move(job, State.FINISHED, finished_at=now, error="", cancel_requested=False, **fields)


def fail(job: Job, *, error: str, now: datetime) -> None:
    """Record that the job failed, and why. Raises: JobLost."""
    move(job, State.FAILED, finished_at=now, error=error)


def release(job: Job, *, now: datetime, **fields: Any) -> None:
    """Return an interrupted job to the queue, or cancel it if requested. Raises: JobLost."""
    _update_fenced(job, [State.RUNNING], **_given_back(now), **fields)


def requeue(job: Job, **fields: Any) -> None:
    """Queue a failed job again, by hand. Raises: JobLost."""
    move(job, State.QUEUED, finished_at=None, error="", cancel_requested=False, **fields)


def requeue_silent(model: type[Job], *, now: datetime) -> int:
    """Requeue jobs of one kind whose workers fell silent, and return how many.

    Jobs that were claimed `most_attempts` times have failed.
    """
    silent = model.objects.silent(now=now)
    failed = 0
    if model.most_attempts is not None:
        failed = silent.filter(attempt__gte=model.most_attempts).update(
            state=State.FAILED, finished_at=now, error="its worker fell silent", losses=F("losses") + 1
        )
    count = failed + silent.update(losses=F("losses") + 1, **_given_back(now))
    if count:
        logger.warning("%d silent job(s) of %s taken from their workers", count, model.__name__)
    return count


def cancel(job: Job, *, now: datetime) -> None:
    """Take the job out of the queue, or ask its worker to stop. Raises: JobLost when it has ended."""
    rows = type(job)._default_manager.filter(pk=job.pk)
    left_queue = rows.filter(state=State.QUEUED).update(state=State.CANCELLED, finished_at=now)
    if not left_queue and not rows.filter(state=State.RUNNING).update(cancel_requested=True):
        raise JobLost(f"{job} is over: nothing to cancel")
    job.refresh_from_db()


def hold(job: Job) -> None:
    """Let no other worker claim the job until the transaction ends. Raises: JobLost when one has."""
    rows = type(job)._default_manager.select_for_update(no_key=True)
    if not rows.filter(pk=job.pk, attempt=job.attempt).exists():
        raise JobLost(f"{job}, attempt {job.attempt}: another worker has it")


def move(job: Job, to: State, **fields: Any) -> None:
    """Move the job and set fields, in one UPDATE. Raises: JobLost when the table has no such move."""
    sources = [state for state, targets in MOVES.items() if to in targets]
    _update_fenced(job, sources, state=to, **fields)


def _given_back(now: datetime) -> dict[str, Any]:
    """Return the fields of a job without a worker. They are set in one statement, to not lose a cancel."""
    return {
        "state": Case(When(cancel_requested=True, then=Value(State.CANCELLED)), default=Value(State.QUEUED)),
        "finished_at": Case(When(cancel_requested=True, then=Value(now)), default=None),
        "cancel_requested": False,
    }


def _update_fenced(job: Job, sources: list[State], **fields: Any) -> None:
    """Set fields if state and attempt are as expected, in the row and on the instance. Raises: JobLost."""
    rows = type(job)._default_manager.filter(pk=job.pk, attempt=job.attempt, state__in=sources)
    if rows.update(**fields) != 1:
        raise JobLost(f"{job}, attempt {job.attempt}: not {' or '.join(sources)} any more")
    computed = [name for name, value in fields.items() if hasattr(value, "resolve_expression")]
    for name in fields.keys() - computed:
        setattr(job, name, fields[name])
    if computed:
        job.refresh_from_db(fields=computed)

"""What runs record with their moves, besides what every job does (`annotation.jobs`)."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, TypeVar

from django.apps import apps
from django.db import transaction

from annotation import jobs
from annotation.models import User
from annotation.registry import register_action, register_event
from annotation.services.actions import record_action
from annotation.services.webhooks.events import announce
from rewardmodel.models import Run
from rewardmodel.models.runs import BECAUSE_LENGTH

RUN_FINISHED = register_event("run.finished", "A run finished")
RUN_FAILED = register_event("run.failed", "A run failed")
REQUESTED = register_action("run.requested", "Run asked for")
CANCELLED = register_action("run.cancelled", "Run cancelled")
RETRIED = register_action("run.retried", "Run tried again")

R = TypeVar("R", bound=Run)


def run_models() -> list[type[Run]]:
    """Every kind of run, of this app and those above it."""
    return [model for model in apps.get_models() if issubclass(model, Run)]


def record_request(run: R, *, by: User | None, because: str = "") -> R:
    """Record and log who asked for the run, None for a command or what came due, and why; returns it."""
    run.requested_by, run.because = by, because[:BECAUSE_LENGTH]
    run.save(update_fields=["requested_by", "because"])
    details: dict[str, Any] = {"because": because} if because else {}
    record_action(REQUESTED, project=run.project_id, by=by, subject=run, **details)
    return run


def claim(run: Run, *, now: datetime) -> None:
    """Take a queued run for this worker. Raises: JobLost when it is over or another's."""
    jobs.claim(run, now=now, started_at=run.started_at or now, not_before=None)


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
    """Record a heartbeat and what was measured; a step measured again, by a resumed run, is overwritten.

    Args:
        points: step -> name -> value, for every step since the last call.
        peak_memory: bytes, of this process; the row keeps the largest.
    Raises: JobLost.
    """
    assert run.heartbeat is not None
    jobs.heartbeat(
        run,
        now=now,
        step=step,
        steps=steps,
        seconds=run.seconds + (now - run.heartbeat).total_seconds(),
        peak_memory=max(run.peak_memory or 0, peak_memory or 0) or None,
    )
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
    """Record that the work is done, and announce it. Raises: JobLost."""
    jobs.finish(run, now=now)
    announce(RUN_FINISHED, project=run.project, data={"run": run.pk, "kind": run.kind})


@transaction.atomic
def fail(run: Run, *, error: str, now: datetime) -> None:
    """Record that the work cannot be done, and announce it. Raises: JobLost."""
    jobs.fail(run, error=error, now=now)
    announce(RUN_FAILED, project=run.project, data={"run": run.pk, "kind": run.kind, "error": error})


def record_crash(run: Run, *, error: str, now: datetime) -> None:
    """The process of a running run died: queue the run again, later each time; at last let it fail.

    Raises: JobLost.
    """
    if run.crashes < len(run.back_off):
        later = now + run.back_off[run.crashes]
        jobs.release(run, now=now, error=error, crashes=run.crashes + 1, not_before=later)
    else:
        fail(run, error=error, now=now)


@transaction.atomic
def cancel(run: Run, *, now: datetime, by: User | None = None) -> None:
    """Take the run out of the queue, or ask its worker to stop. Raises: JobLost when it is over."""
    jobs.cancel(run, now=now)
    record_action(CANCELLED, project=run.project_id, by=by, subject=run)


@transaction.atomic
def retry(run: Run, *, by: User | None = None) -> None:
    """Queue a failed run again, by hand; it resumes from its last checkpoint. Raises: JobLost."""
    jobs.requeue(run, crashes=0, not_before=None)
    record_action(RETRIED, project=run.project_id, by=by, subject=run)

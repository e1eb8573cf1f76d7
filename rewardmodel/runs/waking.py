"""Waking a worker for a run that waits."""

from __future__ import annotations

from datetime import datetime

from annotation import jobs, waking
from rewardmodel.models import Run
from rewardmodel.runs.states import run_models

SUPERVISE_RUN = "rewardmodel.tasks.supervise_run"  # by its name: tasks import this folder
TEND_SECONDS = 15  # between two calls of `tend_runs`


def wake(run: Run, *, expires: float | None = None) -> bool:
    """Tell the workers of a queued run; return whether they could be told."""
    return waking.send(SUPERVISE_RUN, (run._meta.label, run.pk), expires=expires)


def tend_runs(*, now: datetime) -> None:
    """Take runs from workers that fell silent, and wake a worker for the run of each kind queued longest.

    Messages expire: while every worker is busy they are sent again and again.
    """
    for model in run_models():
        jobs.requeue_silent(model, now=now)
        run = model.objects.startable(now=now).first()
        if run is not None:
            wake(run, expires=TEND_SECONDS)

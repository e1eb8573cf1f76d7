"""Messages that wake a worker for a run that waits. They may be late or lost: the rows say what waits."""

from __future__ import annotations

import logging
from datetime import datetime

from celery import current_app
from kombu.exceptions import OperationalError

from annotation import jobs
from rewardmodel.models import Run
from rewardmodel.runs.states import run_models

logger = logging.getLogger(__name__)
SUPERVISE_RUN = "rewardmodel.tasks.supervise_run"  # by its name: tasks import this folder
TEND_SECONDS = 15  # between two calls of `tend_runs`


def wake(run: Run, *, expires: float | None = None) -> None:
    """Send a queued run to the workers. Without a broker the schedule does it when there is one again.

    Args: expires: seconds after which no worker takes the message any more.
    """
    try:
        current_app.send_task(SUPERVISE_RUN, (run._meta.label, run.pk), expires=expires)
    except OperationalError as error:
        logger.warning("%s waits: the broker does not answer: %s", run, error)


def tend_runs(*, now: datetime) -> None:
    """Take runs from workers that fell silent, and wake a worker for the run of each kind queued longest.

    Messages expire: while every worker is busy they are sent again and again.
    """
    for model in run_models():
        jobs.requeue_silent(model, now=now)
        run = model.objects.startable(now=now).first()
        if run is not None:
            wake(run, expires=TEND_SECONDS)

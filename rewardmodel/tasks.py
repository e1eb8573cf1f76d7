"""What workers do for this app. A message only wakes them: rows say what there is to do."""

from __future__ import annotations

import logging

from celery import shared_task
from django.apps import apps
from django.utils.timezone import now
from kombu.exceptions import OperationalError

from annotation import jobs
from rewardmodel.models import Run, TrainingPolicy
from rewardmodel.runs import states
from rewardmodel.runs.supervision import supervise
from rewardmodel.selectors import NothingRegistered
from rewardmodel.services.datasets import NothingToFreeze
from rewardmodel.services.training import NotTrainable, queue_due_training

logger = logging.getLogger(__name__)
TEND_SECONDS = 15


def wake(run: Run) -> None:
    """Send word of a queued run. Without a broker the schedule does it when there is one again."""
    try:
        supervise_run.delay(run._meta.label, run.pk)
    except OperationalError as error:
        logger.warning("%s waits: the broker does not answer: %s", run, error)


@shared_task(acks_late=False)  # a run outlives any broker's patience; its row brings it back, not the message
def supervise_run(label: str, run_id: int) -> None:
    """Do one run in a fresh process. Ends at once when the run is over, taken, or held back."""
    model: type[Run] = apps.get_model(label)
    run = model.objects.startable(now=now()).filter(pk=run_id).first()
    if run is None:
        return
    try:
        supervise(run, should_stop=_worker_is_closing)
    except jobs.JobLost:
        return  # another worker was faster
    tend_runs.delay()


@shared_task
def tend_runs() -> None:
    """Take runs from workers that fell silent, and wake a worker for the run of each kind queued longest.

    Worker messages expire: while every worker is busy they are sent again and again.
    """
    for model in states.run_models():
        jobs.requeue_silent(model, now=now())
        run = model.objects.startable(now=now()).first()
        if run is not None:
            supervise_run.apply_async((model._meta.label, run.pk), expires=TEND_SECONDS)


@shared_task
def look_for_preferences() -> None:
    """Start a training run in each project where enough answers came in since the last one."""
    for policy in TrainingPolicy.objects.filter(enabled=True).select_related("project"):
        try:
            run = queue_due_training(policy)
        except (NotTrainable, NothingToFreeze, NothingRegistered) as error:
            logger.warning("%s: no training yet: %s", policy.project.slug, error)
            continue
        if run is not None:
            wake(run)


def _worker_is_closing() -> bool:
    """A worker that runs tasks in its main process sees its own signals here; the exit status may be 0."""
    from celery.worker import state as worker  # only a worker needs all of celery.worker

    return any(
        flag is not None and flag is not False for flag in (worker.should_stop, worker.should_terminate)
    )

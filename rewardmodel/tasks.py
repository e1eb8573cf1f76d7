"""What workers do for this app. A message only wakes them: rows say what there is to do."""

from __future__ import annotations

import logging

from celery import shared_task
from django.apps import apps
from django.utils.timezone import now

from annotation.jobs import JobLost
from rewardmodel.models import Run, TrainingPolicy
from rewardmodel.runs import waking
from rewardmodel.runs.supervision import supervise, worker_is_closing
from rewardmodel.selectors import NothingRegistered
from rewardmodel.services.datasets import NothingToFreeze
from rewardmodel.services.training import NotTrainable, queue_due_training

logger = logging.getLogger(__name__)


@shared_task(acks_late=False)  # a run outlives any broker's patience; its row brings it back, not the message
def supervise_run(label: str, run_id: int) -> None:
    """Do one run in a fresh process. Ends at once when the run is over, taken, or held back."""
    model: type[Run] = apps.get_model(label)
    run = model.objects.startable(now=now()).filter(pk=run_id).first()
    if run is None:
        return
    try:
        supervise(run, should_stop=worker_is_closing)
    except JobLost:
        return  # another worker was faster
    tend_runs.delay()


@shared_task
def tend_runs() -> None:
    """Take runs from workers that fell silent, and wake workers for those that wait."""
    waking.tend_runs(now=now())


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
            waking.wake(run)

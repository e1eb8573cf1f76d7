"""What workers do for this app. A message only wakes them: rows say what there is to do."""

from __future__ import annotations

from celery import shared_task
from django.apps import apps
from django.utils.timezone import now

from annotation import request_ids
from annotation.jobs import JobLost
from annotation.waking import send
from rewardmodel.models import Run
from rewardmodel.runs import waking
from rewardmodel.runs.supervision import supervise, worker_is_closing


@shared_task(acks_late=False)  # a run outlives any broker's patience; its row brings it back, not the message
def supervise_run(label: str, run_id: int) -> None:
    """Do one run in a fresh process. Ends at once when the run is over, taken, or held back."""
    model: type[Run] = apps.get_model(label)
    run = model.objects.startable(now=now()).filter(pk=run_id).first()
    if run is None:
        return
    try:
        with request_ids.working_for(run.request_id or request_ids.current()):
            supervise(run, should_stop=worker_is_closing)
    except JobLost:
        return  # another worker was faster
    send(tend_runs.name, ())


@shared_task
def tend_runs() -> None:
    """Take runs from workers that fell silent, and wake workers for those that wait."""
    waking.tend_runs(now=now())

"""What workers do for this app. A message only wakes them: rows say what there is to do."""

from __future__ import annotations

from celery import shared_task
from django.apps import apps
from django.utils.timezone import now

from rewardmodel.models import Run
from rewardmodel.services import runs
from rewardmodel.services.supervision import supervise

TEND_SECONDS = 15


@shared_task(acks_late=False)  # a run outlives any broker's patience; its row brings it back, not the message
def supervise_run(label: str, run_id: int) -> None:
    """Do one run in a fresh process. Ends at once when the run is over, taken, or held back."""
    model: type[Run] = apps.get_model(label)
    run = model.objects.startable(now=now()).filter(pk=run_id).first()
    if run is None:
        return
    try:
        supervise(run, should_stop=_worker_is_closing)
    except runs.RunLost:
        return  # another worker was faster
    tend_runs.delay()


@shared_task
def tend_runs() -> None:
    """Take runs from workers that fell silent, and wake a worker for the run of each kind queued longest.

    Worker messages expire: while every worker is busy they are sent again and again.
    """
    for model in runs.run_models():
        runs.requeue_silent(model, now=now())
        run = model.objects.startable(now=now()).first()
        if run is not None:
            supervise_run.apply_async((model._meta.label, run.pk), expires=TEND_SECONDS)


def _worker_is_closing() -> bool:
    """A worker that runs tasks in its main process sees its own signals here; the exit status may be 0."""
    from celery.worker import state as worker  # only a worker needs all of celery.worker

    return any(
        flag is not None and flag is not False for flag in (worker.should_stop, worker.should_terminate)
    )

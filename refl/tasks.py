"""What beat looks for. A run is done by `rewardmodel.tasks.supervise_run`, as every other."""

from __future__ import annotations

import logging

from celery import shared_task
from django.utils.timezone import now

from refl.loop.queue import start_due
from refl.loop.step import StepRefused
from refl.services import study_tending
from rewardmodel.runs.waking import wake

logger = logging.getLogger(__name__)


@shared_task
def look_for_preferences() -> None:
    """Start a training run in each project where enough answers came in since the last one."""
    _start_due("train")


@shared_task
def look_for_test_pairs() -> None:
    """Measure reward models again that wait for more test pairs, where those came in."""
    _start_due("promote")


@shared_task
def look_for_promotions() -> None:
    """Queue a tuning wherever a reward model was promoted that no generator was tuned with yet."""
    _start_due("tune")


@shared_task
def look_for_generators() -> None:
    """Queue images wherever a tuned generator was kept that has made none yet."""
    _start_due("sample")


def _start_due(step: str) -> None:
    for outcome in start_due(step):
        if isinstance(outcome, StepRefused):
            logger.warning("%s was due and did not start: %s", step, outcome)
        else:
            wake(outcome)


@shared_task
def tend_studies() -> None:
    """Ask annotators where a study's images are there, and close studies that are decided."""
    study_tending.tend_studies(now=now())

"""What workers do for this app. A message only wakes them: rows say what there is to do."""

from __future__ import annotations

from celery import shared_task
from django.utils.timezone import now

from annotation.services.checks import BATCH, compare_answers


@shared_task
def compare_checks() -> None:
    """Compare the answers to gold and repeated tasks that came in."""
    while compare_answers(now=now()) == BATCH:
        pass

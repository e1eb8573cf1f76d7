"""What workers do for this app. A message only wakes them: rows say what there is to do."""

from __future__ import annotations

from importlib import import_module

from celery import shared_task
from django.conf import settings
from django.utils.timezone import now

from annotation.services.checks import BATCH, compare_answers
from annotation.services.deliveries import send_due
from annotation.services.events import forget_events


@shared_task
def compare_checks() -> None:
    """Compare the answers to gold and repeated tasks that came in."""
    while compare_answers(now=now()) == BATCH:
        pass


@shared_task
def send_webhooks() -> None:
    """Send what lies in the outbox and is due."""
    send_due(clock=now)


@shared_task
def forget() -> None:
    """Delete sessions that ran out, and events that were told long ago."""
    import_module(settings.SESSION_ENGINE).SessionStore.clear_expired()
    forget_events(now=now())

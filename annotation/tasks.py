"""What workers do for this app. A message only wakes them: rows say what there is to do."""

from __future__ import annotations

import logging
from datetime import timedelta
from importlib import import_module

from celery import shared_task
from django.conf import settings
from django.utils.timezone import now
from kombu.exceptions import OperationalError

from annotation import jobs
from annotation.models import Export, Project
from annotation.services.assignments.overlap import ask_where_opinions_differ
from annotation.services.checks.checks import BATCH, compare_answers
from annotation.services.checks.pauses import pause_by_rules
from annotation.services.exports import run_export
from annotation.services.webhooks.deliveries import send_due
from annotation.services.webhooks.events import forget_events

logger = logging.getLogger(__name__)
TEND_SECONDS = 15
ACTIVE = timedelta(hours=1)  # people idle for so long have broken no rule since it was last looked at


def wake(export: Export) -> None:
    """Send word of a queued export. Without a broker the schedule does it when there is one again."""
    try:
        write_export.delay(export.pk)
    except OperationalError as error:
        logger.warning("%s waits: the broker does not answer: %s", export, error)


@shared_task(acks_late=False)  # an export may outlive a broker's patience; its row brings it back
def write_export(export_id: int) -> None:
    """Write one export. Ends at once when it is over or taken."""
    export = Export.objects.queued().filter(pk=export_id).select_related("project").first()
    if export is None:
        return
    try:
        run_export(export, clock=now)
    except jobs.JobLost as error:
        logger.info("%s", error)


@shared_task
def tend_exports() -> None:
    """Take exports from workers that fell silent, and wake a worker for the one queued longest."""
    jobs.requeue_silent(Export, now=now())
    export = Export.objects.queued().first()
    if export is not None:
        write_export.apply_async((export.pk,), expires=TEND_SECONDS)


@shared_task
def compare_checks() -> None:
    """Compare the answers to gold and repeated tasks that came in; then pause whom a rule says to."""
    while compare_answers(now=now()) == BATCH:
        pass
    pause_by_rules(now=now(), active_within=ACTIVE)


@shared_task
def ask_for_more_opinions() -> None:
    """Ask once more where the opinions on a prompt differ, in projects that want it."""
    for project in Project.objects.filter(extra_opinions__gt=0):
        opened = ask_where_opinions_differ(project=project)
        if opened:
            logger.info("%s: one more opinion on %d prompts", project.slug, len(opened))


@shared_task
def send_webhooks() -> None:
    """Send what lies in the outbox and is due."""
    send_due(clock=now)


@shared_task
def forget() -> None:
    """Delete sessions that ran out, and events that were told long ago."""
    import_module(settings.SESSION_ENGINE).SessionStore.clear_expired()
    forget_events(now=now())

"""Celery tasks of this app. A message only wakes a worker: the rows are the truth."""

from __future__ import annotations

import logging
from datetime import timedelta
from importlib import import_module

from celery import shared_task
from django.conf import settings
from django.utils.timezone import now

from annotation import jobs, request_ids, waking
from annotation.models import Export, FileFault, Project, Upload
from annotation.services.actions import shorten_log
from annotation.services.assignments.overlap import ask_where_opinions_differ
from annotation.services.checks.checks import BATCH, compare_answers
from annotation.services.checks.pauses import pause_by_rules
from annotation.services.exports import run_export
from annotation.services.imports import run_import
from annotation.services.imports.worker import ImportsBusy, remove_uploads
from annotation.services.people.mails import send_due_mails
from annotation.services.recovery.log import check_noted_log
from annotation.services.recovery.looks import look_at_files
from annotation.services.webhooks.deliveries import send_due
from annotation.services.webhooks.events import forget_events
from annotation.stored_files import delete_loose

logger = logging.getLogger(__name__)
TEND_SECONDS = 15
LOOK_SECONDS = 60
MAIL_SECONDS = 60
ACTIVE = timedelta(hours=1)  # annotators idle for longer cannot have broken a rule since the last check


def wake(export: Export, *, expires: float | None = None) -> bool:
    """Tell the workers of a queued export; return whether they could be told."""
    return waking.send(write_export.name, (export.pk,), expires=expires)


@shared_task(acks_late=False)  # an export may outlast the broker's visibility time-out; its row decides
def write_export(export_id: int) -> None:
    """Write one export. Ends at once if it has ended or is taken."""
    export = Export.objects.queued().filter(pk=export_id).select_related("project").first()
    if export is None:
        return
    try:
        with request_ids.working_for(export.request_id or request_ids.current()):
            run_export(export, clock=now)
    except jobs.JobLost as error:
        logger.info("%s", error)


@shared_task
def tend_exports() -> None:
    """Requeue exports of silent workers, and wake a worker for the oldest queued one."""
    jobs.requeue_silent(Export, now=now())
    export = Export.objects.queued().first()
    if export is not None:
        wake(export, expires=TEND_SECONDS)


def wake_import(upload: Upload, *, expires: float | None = None) -> bool:
    """Tell the workers of a queued upload; return whether they could be told."""
    return waking.send(import_file.name, (upload.pk,), expires=expires)


@shared_task(acks_late=False)  # as `write_export`
def import_file(upload_id: int) -> None:
    """Import the file that waits longest, then wake a worker for the next; end at once if this one is over.

    Its message may overtake that of a file that was sent before. No more than IMPORTS_AT_ONCE run at a time,
    so that files cannot take all processes of the queue.
    """
    queued = Upload.objects.queued()
    if not queued.filter(pk=upload_id).exists():
        return
    upload = queued.select_related("project", "requested_by").first()
    if upload is None:
        return
    try:
        with request_ids.working_for(upload.request_id or request_ids.current()):
            run_import(upload, clock=now)
    except ImportsBusy as error:
        logger.info("%s", error)
        return
    except jobs.JobLost as error:
        logger.info("%s", error)  # the next one may wait all the same
    following = Upload.objects.queued().first()
    if following is not None:
        wake_import(following, expires=TEND_SECONDS)


@shared_task
def tend_imports() -> None:
    """Requeue imports of silent workers, and wake a worker for the oldest queued one."""
    jobs.requeue_silent(Upload, now=now())
    upload = Upload.objects.queued().first()
    if upload is not None:
        wake_import(upload, expires=TEND_SECONDS)


def wake_mails() -> bool:
    """Tell a worker that mails wait; return whether one could be told."""
    return waking.send(send_mails.name, (), expires=MAIL_SECONDS)


@shared_task
def send_mails() -> None:
    """Send the mails that are due."""
    send_due_mails(now=now())


@shared_task
def compare_checks() -> None:
    """Compare new answers to gold and repeated tasks; then pause annotators by the rules."""
    while compare_answers(now=now()) == BATCH:
        pass
    pause_by_rules(now=now(), active_within=ACTIVE)


@shared_task
def ask_for_more_opinions() -> None:
    """Ask for another opinion where those on a prompt differ, in projects with extra opinions."""
    for project in Project.objects.filter(extra_opinions__gt=0):
        opened = ask_where_opinions_differ(project=project)
        if opened:
            logger.info("%s: one more opinion on %d prompts", project.slug, len(opened))


@shared_task
def send_webhooks() -> None:
    """Send the due deliveries of the outbox."""
    send_due(clock=now)


@shared_task
def forget() -> None:
    """Delete expired sessions, old events, uploads and objects, and log entries older than LOG_DAYS."""
    import_module(settings.SESSION_ENGINE).SessionStore.clear_expired()
    forget_events(now=now())
    remove_uploads(now=now())
    delete_loose()
    if settings.LOG_DAYS:
        shorten_log(now=now(), days=settings.LOG_DAYS)


@shared_task
def verify_log() -> None:
    """Check the log against the seal noted last, and say in the worker's output which is its newest."""
    check = check_noted_log()
    if check.fault:
        logger.error("The log was changed: %s", check.fault)
    else:
        logger.info("The log is whole: %d entries, the newest is %s", check.entries, check.newest)


@shared_task
def look_at_stored_files() -> None:
    """Go on looking whether stored files are what was stored."""
    look_at_files(now=now(), seconds=LOOK_SECONDS)
    faults = FileFault.objects.count()
    if faults:
        logger.error("%d stored files are gone or changed, such as %s", faults, FileFault.objects.first())

"""Requesting, retrying, cancelling and deleting exports."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import F, Q

from annotation import jobs, stored_files
from annotation.jobs import JobLost
from annotation.models import Action, Export, Project, User
from annotation.services.actions import record_action
from annotation.services.exports.formats import FORMATS
from annotation.services.judgements.revisions import settle_answers

AGAIN = timedelta(minutes=1)  # whoever saw no answer has pressed the button again by then


class UnknownFormat(Exception):
    """No export format has this name."""


@transaction.atomic
def request_export(
    *,
    project: Project,
    format: str,
    by: User,
    now: datetime,
    with_images: bool = True,
    after: datetime | None = None,
    until: datetime | None = None,
) -> Export:
    """Request an export of the rankings accepted until now, or until an earlier time.

    Asked again by the same person within AGAIN, while it is not over, it is the same export.

    Args: after: only those accepted later than this.
    Raises: UnknownFormat.
    """
    if format not in FORMATS:
        raise UnknownFormat(f"{format!r} is none of {', '.join(FORMATS)}")
    with_images = with_images and FORMATS[format].has_images
    until = None if until is None or until >= now else until
    Project.objects.select_for_update(no_key=True).get(pk=project.pk)  # two requests at once are one, too
    same = (
        Export.objects.active()
        .filter(
            Q(accepted_until=until) if until else Q(accepted_until=F("created_at")),
            project=project,
            requested_by=by,
            format=format,
            with_images=with_images,
            accepted_after=after,
            created_at__range=(now - AGAIN, now),
        )
        .first()
    )
    if same is not None:
        return same
    until = until or now
    record_action(Action.Kind.EXPORTED, project=project, by=by, subject=format)
    settle_answers(project=project, until=until)
    return Export.objects.create(
        project=project,
        requested_by=by,
        format=format,
        with_images=with_images,
        accepted_after=after,
        accepted_until=until,
        created_at=now,
    )


@transaction.atomic
def retry_export(export: Export, *, by: User) -> None:
    """Queue a failed export again; it resumes where it stopped. Raises: JobLost."""
    jobs.requeue(export)
    record_action(Action.Kind.EXPORT_RETRIED, project=export.project_id, by=by, subject=export)


@transaction.atomic
def cancel_export(export: Export, *, by: User, now: datetime) -> None:
    """Take the export out of the queue, or ask its worker to stop. Raises: JobLost when it has ended."""
    jobs.cancel(export, now=now)
    record_action(Action.Kind.EXPORT_CANCELLED, project=export.project_id, by=by, subject=export)


@transaction.atomic
def delete_export(export: Export, *, by: User) -> None:
    """Delete an export that has ended, with its file. Raises: JobLost while it is queued or running."""
    folder, name = export.folder, str(export)
    if not Export.objects.over().filter(pk=export.pk).delete()[0]:
        raise JobLost(f"{export} is not over")
    record_action(Action.Kind.EXPORT_DELETED, project=export.project_id, by=by, subject=name)
    stored_files.remove(folder)

"""How an export's row moves from state to state, and what people may do with it."""

from __future__ import annotations

import shutil
from datetime import datetime
from typing import Any

from django.db import transaction
from django.db.models import Case, Value, When

from annotation.models import Action, Export, Kind, Project, User
from annotation.services.actions import record_action
from annotation.services.exports.cards import Counts
from annotation.services.exports.formats import FORMATS
from annotation.services.judgements.revisions import settle_answers
from annotation.services.webhooks.events import announce

State = Export.State
# The only moves an export may make; a state that is no key is final.
MOVES = {
    State.QUEUED: {State.RUNNING, State.CANCELLED},
    State.RUNNING: {State.FINISHED, State.FAILED, State.QUEUED, State.CANCELLED},  # QUEUED: interrupted
    State.FAILED: {State.QUEUED},  # by hand
}
MOST_ATTEMPTS = 5  # what fell silent so often would do so for ever


class UnknownFormat(Exception):
    """There is no such format."""


class ExportLost(Exception):
    """The export moved on without us: it is over, or another worker has it."""


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
    """Ask for the rankings accepted until now, or until an earlier moment.

    Args: after: only those accepted later than this.
    Raises: UnknownFormat.
    """
    if format not in FORMATS:
        raise UnknownFormat(f"{format!r} is none of {', '.join(FORMATS)}")
    until = min(until or now, now)
    record_action(Action.Kind.EXPORTED, project=project, by=by, subject=format)
    settle_answers(project=project, until=until)
    return Export.objects.create(
        project=project,
        requested_by=by,
        format=format,
        with_images=with_images and FORMATS[format].has_images,
        accepted_after=after,
        accepted_until=until,
        created_at=now,
    )


def claim(export: Export, *, now: datetime) -> None:
    """Take a queued export for this worker. Raises: ExportLost when it is over or another's."""
    _move(export, State.RUNNING, attempt=export.attempt + 1, heartbeat=now)


def record_progress(export: Export, *, now: datetime, wanted: int, counts: Counts) -> None:
    """Say that the work goes on, and learn whether it is to be cancelled. Raises: ExportLost."""
    _update_fenced(
        export,
        [State.RUNNING],
        heartbeat=now,
        rankings_wanted=wanted,
        rankings=counts.rankings,
        pairs=counts.pairs,
        ties=counts.ties,
    )
    export.refresh_from_db(fields=["cancel_requested"])


@transaction.atomic
def finish(export: Export, *, now: datetime, bytes: int, sha256: str) -> None:
    """The file is there: say so, to webhooks too. Raises: ExportLost."""
    _move(
        export, State.FINISHED, finished_at=now, bytes=bytes, sha256=sha256, error="", cancel_requested=False
    )
    data = {"export": export.pk, "format": export.format, "bytes": bytes, "sha256": sha256}
    announce(Kind.EXPORT_READY, project=export.project, data=data)


def fail(export: Export, *, now: datetime, error: str) -> None:
    """It cannot be written. Raises: ExportLost."""
    _move(export, State.FAILED, finished_at=now, error=error)


def release(export: Export, *, now: datetime) -> None:
    """Give an interrupted export back to the queue; one to be cancelled is cancelled. Raises: ExportLost."""
    _update_fenced(export, [State.RUNNING], **_given_up(now))


def requeue_silent(*, now: datetime) -> None:
    """Take exports from workers that fell silent; what did so too often has failed."""
    silent = Export.objects.silent(now=now)
    silent.filter(attempt__gte=MOST_ATTEMPTS).update(
        state=State.FAILED, finished_at=now, error="its worker fell silent"
    )
    silent.update(**_given_up(now))


@transaction.atomic
def retry_export(export: Export, *, by: User) -> None:
    """Queue a failed export again; it goes on where it stopped. Raises: ExportLost."""
    _move(export, State.QUEUED, finished_at=None, error="")
    record_action(Action.Kind.EXPORT_RETRIED, project=export.project_id, by=by, subject=export)


@transaction.atomic
def cancel_export(export: Export, *, by: User, now: datetime) -> None:
    """Take the export out of the queue, or ask its worker to stop. Raises: ExportLost when it is over."""
    ours = Export.objects.filter(pk=export.pk)
    left_queue = ours.filter(state=State.QUEUED).update(state=State.CANCELLED, finished_at=now)
    if not left_queue and not ours.filter(state=State.RUNNING).update(cancel_requested=True):
        raise ExportLost(f"{export} is over: nothing to cancel")
    record_action(Action.Kind.EXPORT_CANCELLED, project=export.project_id, by=by, subject=export)
    export.refresh_from_db()


@transaction.atomic
def delete_export(export: Export, *, by: User) -> None:
    """Remove an export that is over, with its file. Raises: ExportLost while it waits or is at work."""
    folder, name = export.folder, str(export)
    over = [State.FINISHED, State.FAILED, State.CANCELLED]
    if not Export.objects.filter(pk=export.pk, state__in=over).delete()[0]:
        raise ExportLost(f"{export} is not over")
    record_action(Action.Kind.EXPORT_DELETED, project=export.project_id, by=by, subject=name)
    transaction.on_commit(lambda: shutil.rmtree(folder, ignore_errors=True))


def _move(export: Export, to: State, **fields: Any) -> None:
    sources = [state for state, targets in MOVES.items() if to in targets]
    _update_fenced(export, sources, state=to, **fields)


def _given_up(now: datetime) -> dict[str, Any]:
    """Fields of an export that nobody works at. One statement, so that no cancel slips in between."""
    return {
        "state": Case(When(cancel_requested=True, then=Value(State.CANCELLED)), default=Value(State.QUEUED)),
        "finished_at": Case(When(cancel_requested=True, then=Value(now)), default=None),
        "cancel_requested": False,
    }


def _update_fenced(export: Export, sources: list[State], **fields: Any) -> None:
    """One UPDATE that names the state and the attempt expected. Raises: ExportLost."""
    ours = Export.objects.filter(pk=export.pk, attempt=export.attempt, state__in=sources)
    if ours.update(**fields) != 1:
        raise ExportLost(f"{export}, attempt {export.attempt}: not {' or '.join(sources)} any more")
    computed = [name for name, value in fields.items() if hasattr(value, "resolve_expression")]
    for name in fields.keys() - computed:
        setattr(export, name, fields[name])
    if computed:
        export.refresh_from_db(fields=computed)

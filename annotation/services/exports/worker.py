"""Running a requested export: its files, its archive, and the job's row."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

from django.conf import settings
from django.db import transaction

from annotation import jobs, stored_files
from annotation.jobs import JobLost
from annotation.models import Export
from annotation.registry import register_event
from annotation.selectors.exports import Selection
from annotation.services.exports.cards import Counts
from annotation.services.exports.formats import FORMATS
from annotation.services.exports.formats.format import ExportFailed, Plan
from annotation.services.exports.writer import (
    FILES,
    ExportBusy,
    plan_export,
    unfinished_plan,
    write_archive,
    write_files,
)
from annotation.services.webhooks.events import announce

EXPORT_READY = register_event("export.ready", "An export is ready")
HEARTBEAT = timedelta(seconds=1)  # between two
Clock = Callable[[], datetime]


class _Cancelled(Exception):
    """The export was asked to stop."""


def run_export(export: Export, *, clock: Clock) -> None:
    """Claim the export and write its file, resuming from what an earlier attempt wrote.

    Args: clock: returns the time.
    Raises: JobLost when it has ended or another worker has it.
    """
    jobs.claim(export, now=clock())
    _let_go_of_finished()
    work = export.folder / "work"
    try:
        size, sha256 = _write_archive(export, clock)
    except ExportBusy:
        jobs.release(export, now=clock())  # a worker presumed dead is still writing: try later
        return
    except _Cancelled:
        jobs.release(export, now=clock())
        shutil.rmtree(export.folder, ignore_errors=True)
        return
    except ExportFailed as error:
        jobs.fail(export, now=clock(), error=str(error))
        return
    except JobLost:
        raise
    except Exception as error:
        jobs.fail(export, now=clock(), error=repr(error))
        raise
    stored_files.store(export.file, fence=lambda: jobs.hold(export))
    try:
        _finish(export, now=clock(), bytes=size, sha256=sha256)
    except _Cancelled:
        jobs.release(export, now=clock())
        stored_files.remove(export.folder)
        return
    shutil.rmtree(work, ignore_errors=True)
    stored_files.let_go(export.folder)


def _let_go_of_finished() -> None:
    """Remove what this host still has of exports that it was killed in, and that another finished."""
    if not stored_files.is_elsewhere():
        return
    here = {folder.name: folder for folder in Path(settings.EXPORTS_DIR).glob("[0-9]*")}
    finished = Export.objects.filter(pk__in=here, state=Export.State.FINISHED)
    for pk in finished.values_list("pk", flat=True):
        stored_files.let_go(here[str(pk)])


@transaction.atomic
def _finish(export: Export, *, now: datetime, bytes: int, sha256: str) -> None:
    """Record the file, and announce it. Raises: JobLost; _Cancelled."""
    jobs.heartbeat(export, now=now)  # which locks it: a cancel comes before this, or too late
    if export.cancel_requested:
        raise _Cancelled
    jobs.finish(export, now=now, bytes=bytes, sha256=sha256)
    data = {"export": export.pk, "format": export.format, "bytes": bytes, "sha256": sha256}
    announce(EXPORT_READY, project=export.project, data=data)


def _write_archive(export: Export, clock: Clock) -> tuple[int, str]:
    """Write the files and their archive; return the archive's size in bytes and sha256."""
    work = export.folder / "work"
    format = FORMATS[export.format]
    selection = Selection(export.project, export.accepted_until, export.accepted_after)
    plan = unfinished_plan(work) or plan_export(selection=selection, format=format, images=export.with_images)
    progress = _progress(export, plan, clock)
    counts = write_files(selection=selection, format=format, plan=plan, folder=work, progress=progress)
    progress(counts, at_once=True)
    return write_archive(files=work / FILES, archive=export.file, progress=lambda: progress(counts))


def _progress(export: Export, plan: Plan, clock: Clock) -> Callable[..., None]:
    """Return a function that records progress about once a second, and raises _Cancelled when cancelled."""

    def record(counts: Counts, at_once: bool = False) -> None:
        now = clock()
        assert export.heartbeat
        if at_once or now - export.heartbeat >= HEARTBEAT:
            jobs.heartbeat(
                export,
                now=now,
                rankings_wanted=plan.rankings,
                rankings=counts.rankings,
                pairs=counts.pairs,
                ties=counts.ties,
            )
            if export.cancel_requested:
                raise _Cancelled

    return record

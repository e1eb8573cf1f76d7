"""Importing an uploaded file in a worker: whole or not at all, with a heartbeat, in bounded memory."""

from __future__ import annotations

import logging
import resource
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import datetime, timedelta
from pathlib import Path

from django.conf import settings
from django.db import InterfaceError, OperationalError, connection, transaction

from annotation import jobs, stored_files
from annotation.models import Upload
from annotation.services.imports.rankings import RankingOptions
from annotation.services.imports.rows import ImportRefused
from annotation.services.imports.uploads import Imported, import_upload

logger = logging.getLogger(__name__)
HEARTBEAT_SECONDS = 3.0
ABANDONED = timedelta(days=1)
MEMORY = 2 * 2**30  # bytes that an import may take beside what the worker has already
Clock = Callable[[], datetime]


class ImportsBusy(Exception):
    """As many imports run as may at once: this one waits in the queue."""


class _Cancelled(Exception):
    """Somebody asked to cancel the import."""


def run_import(upload: Upload, *, clock: Clock) -> None:
    """Claim the upload and import its file, whole or not at all.

    The rows and the end of the job are one transaction: an import that was interrupted is done again from
    its beginning, and one that was finished never is. The file of one that failed stays, to be tried again,
    for ABANDONED.

    Raises:
        ImportsBusy.
        JobLost: it has ended or another worker has it; nothing of it is imported then.
    """
    _claim(upload, now=clock())
    if not stored_files.exists(upload.file):
        jobs.fail(upload, now=clock(), error=f"{upload.name}: its file is gone: send it again")
        return
    try:
        with (
            stored_files.local_copy(upload.file) as content,
            bounded_memory(MEMORY),
            _Heartbeat(upload, clock) as heartbeat,
        ):

            def finish(imported: Imported) -> None:
                heartbeat.end()
                jobs.heartbeat(upload, now=clock())  # which locks it: a cancel comes before this, or too late
                if upload.cancel_requested:
                    raise _Cancelled
                jobs.finish(upload, now=clock(), summary=f"{imported.summary}.", done=heartbeat.done)

            import_upload(
                project=upload.project,
                name=upload.name,
                content=content,
                now=clock(),
                rankings=None if upload.ranking_options is None else RankingOptions(**upload.ranking_options),
                by=upload.requested_by,
                progress=heartbeat.count,
                on_written=finish,
            )
    except _Cancelled:
        jobs.release(upload, now=clock())
    except ImportRefused as error:
        jobs.fail(upload, now=clock(), error=str(error))
    except MemoryError:
        jobs.fail(
            upload,
            now=clock(),
            error=f"{upload.name}: reading it takes more than {MEMORY / 2**30:g} GiB of memory: split it, or "
            "import it by manage.py",
        )
    except jobs.JobLost:
        raise
    except Exception as error:
        jobs.fail(upload, now=clock(), error=repr(error))
        raise
    if upload.state != Upload.State.FAILED:  # which may be tried again
        stored_files.remove(upload.folder)


@transaction.atomic
def _claim(upload: Upload, *, now: datetime) -> None:
    """Claim the upload unless IMPORTS_AT_ONCE others run. Raises: ImportsBusy, JobLost."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended('imports', 0))")
    if Upload.objects.at_work(now=now).count() >= settings.IMPORTS_AT_ONCE:
        raise ImportsBusy(f"{upload} waits for another import")
    jobs.claim(upload, now=now, done=0)


def remove_uploads(*, now: datetime) -> None:
    """Remove the files of uploads that are over, or that a dying process stored and never queued."""
    folder = Path(settings.UPLOADS_DIR)
    active = {str(pk) for pk in Upload.objects.active().values_list("pk", flat=True)}
    for stored in folder.iterdir() if folder.exists() else ():
        with suppress(FileNotFoundError):  # its import has just ended
            if stored.name not in active and stored.stat().st_mtime < (now - ABANDONED).timestamp():
                stored_files.remove_local(stored)
    with_files = {name.partition("/")[0] for name in stored_files.file_names(folder)} - active
    for upload in Upload.objects.over().filter(pk__in=with_files, finished_at__lt=now - ABANDONED):
        stored_files.remove(upload.folder)


class _Heartbeat:
    """Sends the upload's heartbeat with the count of what was read, from a thread with its own connection.

    With each it reads whether the import is to be cancelled.

    What the import's transaction writes, nobody else sees before its end.
    """

    def __init__(self, upload: Upload, clock: Clock) -> None:
        self.done = 0
        self._row, self._clock = Upload.objects.get(pk=upload.pk), clock
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._send, name=f"heartbeat of {upload}", daemon=True)

    def count(self, done: int) -> None:
        """Count what was read. Raises: _Cancelled once the last heartbeat read that the import is to stop."""
        self.done += done
        if self._row.cancel_requested:
            raise _Cancelled

    def __enter__(self) -> _Heartbeat:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.end()

    def end(self) -> None:
        self._over.set()
        self._thread.join()

    def _send(self) -> None:
        try:
            while not self._over.wait(HEARTBEAT_SECONDS):
                try:
                    jobs.heartbeat(self._row, now=self._clock(), done=self.done)
                except (OperationalError, InterfaceError) as error:
                    logger.warning("The database does not answer: %s", error)
                    connection.close()
        except jobs.JobLost as lost:
            logger.warning("%s", lost)  # its end will be refused as well
        finally:
            connection.close()


@contextmanager
def bounded_memory(most_bytes: int) -> Iterator[None]:
    """Let this process take no more memory than so many bytes beside what it has: then MemoryError is raised.

    A file may lie about what it unpacks to; the worker, and what else runs on this machine, outlive it.
    """
    pages = int(Path("/proc/self/statm").read_text().split()[0]) if Path("/proc/self/statm").exists() else 0
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    limit = pages * resource.getpagesize() + most_bytes
    if not pages or soft != resource.RLIM_INFINITY or (hard != resource.RLIM_INFINITY and hard < limit):
        yield  # not on this system, or it is bounded already
        return
    resource.setrlimit(resource.RLIMIT_AS, (limit, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))

"""Uploaded files: stored for a worker to import, also as a project begins; called off; tried again."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Callable
from dataclasses import asdict
from datetime import datetime
from typing import Any

from django.core.files.uploadedfile import UploadedFile
from django.db import transaction

from annotation import jobs, stored_files
from annotation.jobs import JobLost
from annotation.models import Action, Project, Upload, User
from annotation.services.actions import record_action
from annotation.services.imports.rankings import RankingOptions
from annotation.services.imports.rows import ImportRefused
from annotation.services.imports.uploads import check_name
from annotation.services.projects.projects import create_project
from annotation.statements import fetch_one

NEXT = "SELECT nextval(pg_get_serial_sequence(%(table)s, 'id'))"


def request_import(
    *,
    project: Project,
    file: UploadedFile[bytes],
    by: User,
    now: datetime,
    rankings: RankingOptions | None = None,
) -> Upload:
    """Store the file and queue its import.

    Args: rankings: how it is read as rankings; None: as prompts or images.
    Raises: ImportRefused for a file of no known format.
    """
    upload = _new_upload(file, by=by, now=now, rankings=rankings)

    def queue() -> None:
        upload.project = project
        upload.save(force_insert=True)

    _store(file, upload, queue)
    return upload


def start_project(
    *, admin: User, now: datetime, material: UploadedFile[bytes] | None = None, **project: Any
) -> tuple[Project, Upload | None]:
    """Create a project, and queue the import of the file, if any, into it.

    Args: project: as `create_project` takes it.
    Raises: as `create_project`; ImportRefused.
    """
    if material is None:
        return create_project(admin=admin, **project), None
    upload = _new_upload(material, by=admin, now=now)

    def queue() -> None:
        upload.project = create_project(admin=admin, **project)
        upload.save(force_insert=True)

    _store(material, upload, queue)
    return upload.project, upload


def _new_upload(
    file: UploadedFile[bytes], *, by: User, now: datetime, rankings: RankingOptions | None = None
) -> Upload:
    """Return the row of an upload, under a number that no other has; not saved. Raises: ImportRefused."""
    name = file.name or ""
    if check_name(name, of_rankings=rankings is not None) == ".zip" and not zipfile.is_zipfile(file):
        raise ImportRefused(f"{name}: cannot be unpacked: it is no .zip file")
    row = fetch_one(NEXT, {"table": Upload._meta.db_table})
    assert row is not None
    options = None if rankings is None else asdict(rankings)
    return Upload(
        pk=row[0],
        requested_by=by,
        name=name,
        bytes=file.size or 0,
        ranking_options=options,
        created_at=now,
    )


def _store(file: UploadedFile[bytes], upload: Upload, queue: Callable[[], None]) -> None:
    """Store the file, then save what names it: sending it far away takes minutes, in which no row is locked.

    Args: queue: called in a transaction; where it raises, the file is removed.
    """
    upload.folder.mkdir(parents=True, exist_ok=True)
    try:
        with upload.file.open("wb") as out:
            for chunk in file.chunks():
                out.write(chunk)
            out.flush()
            os.fsync(out.fileno())
        if stored_files.is_elsewhere():
            stored_files.store(upload.folder, fence=queue)
        else:
            with transaction.atomic():
                queue()
    except BaseException:
        stored_files.remove_local(upload.folder)
        raise
    stored_files.let_go(upload.folder)


@transaction.atomic
def cancel_import(upload: Upload, *, by: User, now: datetime) -> None:
    """Take the import out of the queue, or ask its worker to stop. Raises: JobLost when it has ended."""
    jobs.cancel(upload, now=now)
    record_action(Action.Kind.IMPORT_CANCELLED, project=upload.project_id, by=by, subject=upload.name)


@transaction.atomic
def retry_import(upload: Upload, *, by: User) -> None:
    """Queue a failed import again. Raises: JobLost when it did not fail, or its file is gone."""
    if upload.state == Upload.State.FAILED and not upload.is_kept:
        raise JobLost(f"{upload.name}: its file is gone: send it again")
    jobs.requeue(upload)
    record_action(Action.Kind.IMPORT_RETRIED, project=upload.project_id, by=by, subject=upload.name)

"""Importing an uploaded file: prompts, or images with their prompts in a .zip."""

from __future__ import annotations

import shutil
import tempfile
import zipfile
from pathlib import Path
from typing import IO, Any

from django.core.files.uploadedfile import UploadedFile
from django.db import transaction

from annotation.models import Project, User
from annotation.services.imports.generations import ImportedGenerations, import_generations
from annotation.services.imports.prompts import ImportedPrompts, import_prompts
from annotation.services.imports.rows import ImportRefused
from annotation.services.projects.images import BROKEN
from annotation.services.projects.projects import create_project

SUFFIXES = (".zip", ".txt", ".jsonl", ".json", ".csv", ".parquet")
MANIFEST = "manifest.jsonl"
MOST_BYTES = 512 * 2**20  # of the file, and of an unpacked .zip; larger ones need the commands
MOST_FILES = 20_000


def import_upload(
    *, project: Project, name: str, content: IO[bytes], by: User | None = None
) -> ImportedGenerations | ImportedPrompts:
    """Import the whole file, or nothing of it.

    Args:
        name: of the uploaded file; its suffix determines the format.
        by: who uploaded it, for the log.
    Raises: ImportRefused; its message names no folder of this machine.
    """
    suffix = Path(name).suffix.lower()
    if suffix not in SUFFIXES:
        raise ImportRefused(f"{name}: is none of {', '.join(SUFFIXES)}")
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary).resolve()
        try:
            if suffix == ".zip":
                return import_generations(project=project, manifest=_unpack(content, name, folder), by=by)
            file = folder / f"file{suffix}"
            with file.open("wb") as out:
                shutil.copyfileobj(content, out)
            return import_prompts(project=project, file=file, by=by)
        except ImportRefused as error:
            message = str(error)
            for path, text in ((f"{folder}/file{suffix}", name), (f"{folder}/", ""), (str(folder), name)):
                message = message.replace(path, text)
            raise ImportRefused(message) from None


def _unpack(content: IO[bytes], name: str, folder: Path) -> Path:
    """Unpack into the folder and return the manifest's path.

    Raises: ImportRefused for a file that is no .zip, is too large, or has no manifest.
    """
    try:
        with zipfile.ZipFile(content) as archive:
            entries = archive.infolist()
            if len(entries) > MOST_FILES:
                raise ImportRefused(f"{name}: has more than {MOST_FILES:,} files")
            # `extractall` reads no more of an entry than the size it declares here.
            if sum(entry.file_size for entry in entries) > MOST_BYTES:
                raise ImportRefused(f"{name}: unpacks to more than {MOST_BYTES // 2**20} MiB")
            archive.extractall(folder)
    except BROKEN as error:
        raise ImportRefused(f"{name}: cannot be unpacked: {error}") from None
    manifests = sorted(folder.rglob(MANIFEST), key=lambda path: len(path.parts))
    if not manifests:
        raise ImportRefused(f"{name}: has no {MANIFEST}")
    return manifests[0]


@transaction.atomic
def start_project(
    *, admin: User, material: UploadedFile[bytes] | None = None, **project: Any
) -> tuple[Project, ImportedGenerations | ImportedPrompts | None]:
    """Create a project and import the file, if any, into it; both or neither.

    Args: project: as `create_project` takes it.
    Raises: as `create_project`; ImportRefused.
    """
    created = create_project(admin=admin, **project)
    if material is None:
        return created, None
    return created, import_upload(project=created, name=material.name or "", content=material, by=admin)

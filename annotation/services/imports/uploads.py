"""Importing a file that somebody sent from a browser: prompts, or images with their prompts in a .zip."""

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
MOST_BYTES = 512 * 2**20  # of the file, and of what a .zip unpacks to; ours. Larger ones are for the commands
MOST_FILES = 20_000


def import_upload(
    *, project: Project, name: str, content: IO[bytes], by: User | None = None
) -> ImportedGenerations | ImportedPrompts:
    """Add what the file holds; all of it or nothing.

    Args:
        name: as it was sent; its suffix says what the file is.
        by: who sent it, for the log.
    Raises: ImportRefused; no message names a folder of this machine.
    """
    suffix = Path(name).suffix.lower()
    if suffix not in SUFFIXES:
        raise ImportRefused(f"{name}: is none of {', '.join(SUFFIXES)}")
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made).resolve()
        try:
            if suffix == ".zip":
                return import_generations(project=project, manifest=_unpack(content, name, folder), by=by)
            file = folder / f"file{suffix}"
            with file.open("wb") as out:
                shutil.copyfileobj(content, out)
            return import_prompts(project=project, file=file, by=by)
        except ImportRefused as error:
            said = str(error)
            for path, shown in ((f"{folder}/file{suffix}", name), (f"{folder}/", ""), (str(folder), name)):
                said = said.replace(path, shown)
            raise ImportRefused(said) from None


def _unpack(content: IO[bytes], name: str, folder: Path) -> Path:
    """Where the manifest is now. Raises: ImportRefused for what is no .zip, too large, or has no manifest."""
    try:
        with zipfile.ZipFile(content) as archive:
            entries = archive.infolist()
            if len(entries) > MOST_FILES:
                raise ImportRefused(f"{name}: has more than {MOST_FILES:,} files")
            # What an entry claims here is also the most that is read of it.
            if sum(entry.file_size for entry in entries) > MOST_BYTES:
                raise ImportRefused(f"{name}: unpacks to more than {MOST_BYTES // 2**20} MiB")
            archive.extractall(folder)
    except BROKEN as error:
        raise ImportRefused(f"{name}: cannot be unpacked: {error}") from None
    found = sorted(folder.rglob(MANIFEST), key=lambda path: len(path.parts))
    if not found:
        raise ImportRefused(f"{name}: has no {MANIFEST}")
    return found[0]


@transaction.atomic
def start_project(
    *, admin: User, material: UploadedFile[bytes] | None = None, **project: Any
) -> tuple[Project, ImportedGenerations | ImportedPrompts | None]:
    """Make a project, and import the file into it where one is given; both or neither.

    Args: project: as `create_project` takes it.
    Raises: as `create_project`; ImportRefused.
    """
    made = create_project(admin=admin, **project)
    if material is None:
        return made, None
    return made, import_upload(project=made, name=material.name or "", content=material, by=admin)

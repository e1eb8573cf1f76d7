"""Importing an uploaded file: prompts, or images with their prompts in a .zip."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from django.db import transaction

from annotation.models import Project, User
from annotation.services.imports.archives import MOST_BYTES, unpack
from annotation.services.imports.generations import (
    ImportedGenerations,
    add_checked_generations,
    check_generations,
)
from annotation.services.imports.prompts import ImportedPrompts, add_checked_prompts, check_prompts
from annotation.services.imports.rows import ImportRefused, suffix_of

Imported = ImportedGenerations | ImportedPrompts
SUFFIXES = (".zip", ".txt", ".jsonl", ".json", ".csv", ".tsv", ".parquet")


def check_name(name: str) -> str:
    """Return the suffix of an uploaded file, which determines its format. Raises: ImportRefused."""
    suffix = suffix_of(Path(name))
    if suffix not in SUFFIXES:
        raise ImportRefused(f"{name}: is none of {', '.join(SUFFIXES)}")
    return suffix


def import_upload(
    *,
    project: Project,
    name: str,
    content: Path,
    by: User | None = None,
    progress: Callable[[int], object] | None = None,
    on_written: Callable[[Imported], object] | None = None,
) -> Imported:
    """Import the whole file, or nothing of it.

    1. Unpack, read and decode all of it, and store the images' files: no row is locked meanwhile.
    2. In one transaction, write what the project lacks.

    Args:
        name: of the uploaded file; its suffix determines the format.
        content: where the file is stored.
        by: who uploaded it, for the log.
        progress: called with the number of prompts or images read since the last call, which may be 0. What
            it raises ends the import, and nothing is written.
        on_written: called at the end of the transaction; what it raises undoes it.
    Raises: ImportRefused; its message names no folder of this machine.
    """
    suffix, tick = check_name(name), progress or (lambda read: None)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary).resolve()
        file = folder / f"file{suffix}"
        try:
            if suffix == ".zip":
                with content.open("rb") as stream:
                    manifests = unpack(stream, name, folder)
                write = _read_manifests(project, manifests, by, tick)
            else:
                file.symlink_to(content.resolve())
                write = _read_prompts(project, file, by, tick)
            with transaction.atomic():
                imported = write()
                if on_written:
                    on_written(imported)
                return imported
        except ImportRefused as error:
            message = str(error)
            for path, text in ((str(file), name), (f"{folder}/", ""), (str(folder), name)):
                message = message.replace(path, text)
            raise ImportRefused(message) from None


def _read_manifests(
    project: Project, manifests: Sequence[Path], by: User | None, tick: Callable[[int], object]
) -> Callable[[], Imported]:
    """Read the manifests and store their images; return what writes the rows. Raises: ImportRefused."""
    checked = [check_generations(project=project, manifest=file, progress=tick) for file in manifests]
    for each in checked:
        each.store(on_stored=lambda: tick(0))
    return lambda: add_checked_generations(*checked, on_prompt=lambda: tick(0), by=by)


def _read_prompts(
    project: Project, file: Path, by: User | None, tick: Callable[[int], object]
) -> Callable[[], Imported]:
    """Read the prompts; return what writes the rows. Raises: ImportRefused."""
    check_prompts(file, most_bytes=MOST_BYTES, progress=tick)
    return lambda: add_checked_prompts(
        project=project, file=file, most_bytes=MOST_BYTES, on_batch=lambda: tick(0), by=by
    )

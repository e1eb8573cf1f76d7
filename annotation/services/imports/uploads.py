"""Importing an uploaded file: prompts, or images with their prompts in a .zip."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

from annotation.models import Project, User
from annotation.services.imports.archives import MOST_BYTES, unpack
from annotation.services.imports.generations import ImportedGenerations, import_generations
from annotation.services.imports.prompts import ImportedPrompts, import_prompts
from annotation.services.imports.rows import ImportRefused, suffix_of

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
) -> ImportedGenerations | ImportedPrompts:
    """Import the whole file. To import all or nothing, call it in a transaction.

    Args:
        name: of the uploaded file; its suffix determines the format.
        content: where the file is stored.
        by: who uploaded it, for the log.
        progress: called with the number of prompts or images read since the last call.
    Raises: ImportRefused; its message names no folder of this machine.
    """
    suffix = check_name(name)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary).resolve()
        file = folder / f"file{suffix}"
        try:
            if suffix == ".zip":
                with content.open("rb") as stream:
                    manifests = unpack(stream, name, folder)
                imported = ImportedGenerations(0, 0, 0)
                for manifest in manifests:
                    imported += import_generations(
                        project=project, manifest=manifest, by=by, progress=progress
                    )
                return imported
            file.symlink_to(content.resolve())
            return import_prompts(project=project, file=file, by=by, progress=progress, most_bytes=MOST_BYTES)
        except ImportRefused as error:
            message = str(error)
            for path, text in ((str(file), name), (f"{folder}/", ""), (str(folder), name)):
                message = message.replace(path, text)
            raise ImportRefused(message) from None

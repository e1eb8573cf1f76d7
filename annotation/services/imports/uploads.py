"""Importing an uploaded file: prompts, images with their prompts in a .zip, or rankings."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from datetime import datetime
from pathlib import Path

from django.db import transaction

from annotation.models import Project, User
from annotation.services.imports.archives import MOST_BYTES, TABLES, manifests_among, table_among, unpack
from annotation.services.imports.generations import (
    ImportedGenerations,
    add_checked_generations,
    check_generations,
)
from annotation.services.imports.prompts import ImportedPrompts, add_checked_prompts, check_prompts
from annotation.services.imports.rankings import ImportedRankings, RankingOptions, open_rankings
from annotation.services.imports.rows import ImportRefused, suffix_of

Imported = ImportedGenerations | ImportedPrompts | ImportedRankings
Write = Callable[[], Imported]
Tick = Callable[[int], object]
OF_RANKINGS = (".zip", *TABLES)
SUFFIXES = (".zip", ".txt", *TABLES)
LONGEST_STEM = 200  # bytes of a name before its suffix: file systems take 255


def check_name(name: str, *, of_rankings: bool = False) -> str:
    """Return the suffix of an uploaded file, which determines its format. Raises: ImportRefused."""
    suffix, suffixes = suffix_of(Path(name)), OF_RANKINGS if of_rankings else SUFFIXES
    if suffix not in suffixes:
        raise ImportRefused(f"{name}: is none of {', '.join(suffixes)}")
    return suffix


def import_upload(
    *,
    project: Project,
    name: str,
    content: Path,
    now: datetime,
    rankings: RankingOptions | None = None,
    by: User | None = None,
    progress: Tick | None = None,
    on_written: Callable[[Imported], object] | None = None,
) -> Imported:
    """Import the whole file, or nothing of it.

    1. Unpack, read and decode all of it, and store the images' files: no row is locked meanwhile.
    2. In one transaction, write what the project lacks.

    Args:
        name: of the uploaded file; its suffix determines the format.
        content: where the file is stored.
        rankings: how it is read as rankings, which `import_rankings` takes; None: as prompts or images.
        by: who uploaded it, for the log.
        progress: called with the number of prompts, images or rankings read since the last call, which may
            be 0. What it raises ends the import, and nothing is written.
        on_written: called at the end of the transaction; what it raises undoes it.
    Raises: ImportRefused; its message begins with `name` and names no folder of this machine. A file in a
        .zip has its name there.
    """
    suffix, tick = check_name(name, of_rankings=rankings is not None), progress or (lambda read: None)
    with tempfile.TemporaryDirectory() as temporary, ExitStack() as open_files:
        folder = Path(temporary).resolve()
        file = folder / f"{_shortened(Path(name).stem)}{suffix}"

        is_packed = suffix == ".zip"
        where = name if is_packed else "its folder"

        def without_folders(text: str) -> str:
            for path, shown in ((str(file), name), (f"{folder}/", ""), (str(folder), where)):
                text = text.replace(path, shown)
            return text

        try:
            files = [file]
            if is_packed:
                with content.open("rb") as stream:
                    files = unpack(stream, name, folder)
            else:
                file.symlink_to(content.resolve())
            if rankings is not None:
                table = table_among(files, name, folder)
                reading = _read_rankings(project, table, name, rankings, now, by, tick)
                write = open_files.enter_context(reading)
            elif is_packed:
                write = _read_manifests(project, manifests_among(files, name, folder), name, by, tick)
            else:
                write = _read_prompts(project, file, name, by, tick)
            with transaction.atomic():
                imported = write()
                if isinstance(imported, ImportedRankings):
                    imported = replace(imported, left_out=tuple(map(without_folders, imported.left_out)))
                if on_written:
                    on_written(imported)
                return imported
        except ImportRefused as error:
            why = without_folders(str(error))
            is_named = why.startswith((f"{name}:", f"{name},"))
            raise ImportRefused(why if is_named else f"{name}: {why}") from None


def _shortened(stem: str) -> str:
    return stem.encode()[:LONGEST_STEM].decode(errors="ignore")


def _read_manifests(
    project: Project, manifests: Sequence[Path], name: str, by: User | None, tick: Tick
) -> Write:
    """Read the manifests and store their images; return what writes the rows. Raises: ImportRefused."""
    checked = [check_generations(project=project, manifest=file, progress=tick) for file in manifests]
    for each in checked:
        each.store(on_stored=lambda: tick(0))
    return lambda: add_checked_generations(*checked, file_name=name, on_prompt=lambda: tick(0), by=by)


def _read_prompts(project: Project, file: Path, name: str, by: User | None, tick: Tick) -> Write:
    """Read the prompts; return what writes the rows. Raises: ImportRefused."""
    check_prompts(file, most_bytes=MOST_BYTES, takes_rankings=False, progress=tick)
    return lambda: add_checked_prompts(
        project=project, file=file, file_name=name, most_bytes=MOST_BYTES, on_batch=lambda: tick(0), by=by
    )


@contextmanager
def _read_rankings(
    project: Project,
    file: Path,
    name: str,
    options: RankingOptions,
    now: datetime,
    by: User | None,
    tick: Tick,
) -> Iterator[Write]:
    """Read the rankings and store their images; provide what writes the rows. Raises: ImportRefused."""
    with open_rankings(
        project=project,
        file=file,
        file_name=name,
        options=options,
        most_bytes=MOST_BYTES,
        on_read=tick,
        progress=lambda added: tick(0),
    ) as rankings:
        files = rankings.prepare(rankings.records)

        def write() -> ImportedRankings:
            rankings.add(rankings.records, files, now=now, by=by)
            return rankings.result()

        yield write

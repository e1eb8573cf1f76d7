"""Importing prompts: one per line, or records with ids."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from django.db import transaction

from annotation.models import Action, Project, User
from annotation.models.prompts import KEY_LENGTH
from annotation.services.actions import record_action
from annotation.services.imports.formats import refuse_rankings
from annotation.services.imports.manifests import image_rows
from annotation.services.imports.rows import ImportRefused, Row, batches, suffix_of
from annotation.services.imports.tables import read_rows
from annotation.services.imports.texts import read_lines
from annotation.services.projects.prompts import PromptRefused, add_prompts, own_id

# Columns of DiffusionDB's metadata, one row an image: prompts repeat.
DIFFUSIONDB = (
    *("image_name", "part_id", "seed", "step", "cfg", "sampler", "width", "height", "user_name", "timestamp"),
    *("image_nsfw", "prompt_nsfw"),
)
RANKED = {"id", "prompt", "generations", "ranking"}  # the fields of the paper's rankings
REFL = {"text", "image"}  # of its ReFL data
JSON = re.compile(r'(\[\s*)?{\s*"|[\[{]$')  # how it begins; {{fox}} and [fox] are words of prompts


@dataclass(frozen=True)
class ImportedPrompts:
    """`known` were in the project before; `repeated` have the same text as an earlier line of the file."""

    new: int
    known: int
    repeated: int

    @property
    def summary(self) -> str:
        return f"{self.new:,} prompts new, {self.known:,} known already, {self.repeated:,} repeated"


class _PromptRow(NamedTuple):
    row: Row
    key: str
    text: str
    may_repeat: bool  # the key follows from the text


def import_prompts(
    *,
    project: Project,
    file: Path,
    most_bytes: int | None = None,
    progress: Callable[[int], object] | None = None,
    by: User | None = None,
) -> ImportedPrompts:
    """Add the prompts of a .txt, .jsonl, .json, .csv, .tsv or .parquet file; all of them or none.

    Lines of text and rows of DiffusionDB metadata have no id: equal texts are one prompt.

    Args:
        most_bytes: what a table may decode to; None: any size.
        progress: called with the number of rows read since the last call.
        by: who asked, for the log; None for a command.
    Raises: ImportRefused.
    """
    check_prompts(file, most_bytes=most_bytes, progress=progress)
    return add_checked_prompts(project=project, file=file, file_name=file.name, most_bytes=most_bytes, by=by)


def check_prompts(
    file: Path,
    *,
    most_bytes: int | None = None,
    takes_rankings: bool = True,
    progress: Callable[[int], object] | None = None,
) -> None:
    """Read the whole file, and write nothing. Raises: ImportRefused.

    Args: takes_rankings: whether prompts are read from the paper's rankings, too; false where these may be
        sent by mistake. The others as of `import_prompts`.
    """
    rows = 0
    for batch in batches(_read_prompts(file, most_bytes)):
        if not takes_rankings:
            for row in batch:
                refuse_rankings(row.row)
        rows += len(batch)
        if progress:
            progress(len(batch))
    if not rows:
        raise ImportRefused(f"{file}: has no rows")


@transaction.atomic
def add_checked_prompts(
    *,
    project: Project,
    file: Path,
    file_name: str,
    most_bytes: int | None = None,
    on_batch: Callable[[], object] | None = None,
    by: User | None = None,
) -> ImportedPrompts:
    """Add the prompts of a file that `check_prompts` took. It is read again: it may not fit into memory.

    Args: file_name: as it was sent, for the log; on_batch: called after each batch.
    Raises: ImportRefused for an id that is repeated, or known with another text; for a longer text than the
        project takes.
    """
    seen: dict[str, int] = {}  # key -> row
    new = rows = 0
    for batch in batches(_read_prompts(file, most_bytes)):
        new += _add_batch(project, file, batch, seen)
        rows += len(batch)
        if on_batch:
            on_batch()
    if new:
        record_action(
            Action.Kind.PROMPTS_ADDED, project=project, by=by, subject=f"{new} prompts", file=file_name
        )
    return ImportedPrompts(new=new, known=len(seen) - new, repeated=rows - len(seen))


def _add_batch(project: Project, file: Path, batch: list[_PromptRow], seen: dict[str, int]) -> int:
    """Add the prompts not in `seen`, and record them there; return how many are new to the project.

    Raises: ImportRefused for an id that is repeated, or known with another text.
    """
    texts, translations = {}, {}
    for row, key, text, may_repeat in batch:
        if key not in seen:
            seen[key] = row.number
            texts[key] = text
            if translation := row.optional_text("translation"):
                translations[key] = translation
        elif not may_repeat:
            raise row.refused(f"id {key!r} was in row {seen[key]} already")
    try:
        return add_prompts(project=project, texts=texts, translations=translations)[1]
    except PromptRefused as error:
        raise ImportRefused(f"{file}, row {seen[error.key]}: {error}") from None


def _read_prompts(file: Path, most_bytes: int | None) -> Iterator[_PromptRow]:
    """Yield the prompts of the file. Raises: ImportRefused."""
    if suffix_of(file) == ".txt":
        for number, line in read_lines(file):
            if number == 1 and JSON.match(line):
                raise ImportRefused(f"{file}: is JSON, not a prompt a line: name it .json or .jsonl")
            yield _without_id(Row(file, number, {"prompt": line}))
        return
    parse = _without_id if suffix_of(file) == ".parquet" else _with_id
    for row in read_rows(file, check=_check_columns, most_bytes=most_bytes):
        yield parse(row)


def _check_columns(row: Row) -> None:
    refuse_rankings(row)
    row.check_names(required=["prompt"], optional=DIFFUSIONDB)


def _without_id(row: Row) -> _PromptRow:
    text = row.text("prompt")
    return _PromptRow(row, own_id(text), text, may_repeat=True)


def _with_id(row: Row) -> _PromptRow:
    """Parse a record of ours, of a manifest, or of the paper's rankings, benchmark or ReFL data."""
    if row.fields.keys() != RANKED:
        refuse_rankings(row)
    if row.fields.keys() >= REFL:
        row.check_names(required=REFL)  # what refl_data.json calls image is the prompt's id
        return _PromptRow(row, row.text("image", longest=KEY_LENGTH), row.text("text"), may_repeat=False)
    name = "prompt_id" if "prompt_id" in row.fields else "id"
    row.check_names(required=[name, "prompt"], optional=["generations", "ranking", "images", "translation"])
    image_rows(row)  # which are passed over, but are to be images
    return _PromptRow(row, row.text(name, longest=KEY_LENGTH), row.text("prompt"), may_repeat=False)

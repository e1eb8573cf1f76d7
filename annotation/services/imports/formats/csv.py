"""Reading the table for spreadsheets, with one row per placed image."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from annotation.models import Issue, Problem, Project
from annotation.models.axes import CSV
from annotation.models.prompts import KEY_LENGTH, SOURCE_LENGTH
from annotation.services.imports.formats.record import (
    RankingRecord,
    Reader,
    acceptable_slots,
    annotator,
    category,
    check_same,
    choices,
    distinct,
    flag,
    generator,
    group_rows,
    positions,
    rating_columns,
    ratings,
    seconds,
)
from annotation.services.imports.rows import Row

REQUIRED = ("prompt_id", "prompt", "annotator", "image", "slot")
OF_RANKING = ("category", "intent_unclear", "issues", "seconds", "acceptable_slots")
OPTIONAL = (*OF_RANKING, "submitted_at", "sha256", "generator", "position", "problems")
WHOLE = re.compile("[0-9]{1,8}")
DECIMAL = re.compile(r"[0-9]{1,9}(\.[0-9]{1,9})?")
GUARDED = ("prompt_id", "prompt", "image", "generator")


def _read_table(project: Project, rows: Iterable[Row]) -> Iterator[RankingRecord]:
    parsed = (_parse_cells(row) for row in rows)
    for ranking in group_rows(parsed, lambda row: (row.text("prompt_id"), annotator(row, "annotator"))):
        first = ranking[0]
        check_same(ranking, ("prompt", *OF_RANKING))
        stars = ratings(project, ranking, rating_columns(ranking, CSV))
        yield RankingRecord(
            row=first,
            key=first.text("prompt_id", longest=KEY_LENGTH),
            text=first.text("prompt"),
            sources=distinct(ranking, "image", longest=SOURCE_LENGTH),
            slots=[row.integer("slot", low=1, high=project.slots) for row in ranking],
            annotator=annotator(first, "annotator"),
            category=category(first, "category"),
            intent_unclear=flag(first, "intent_unclear"),
            issues=choices(first, "issues", Issue.values),
            ratings=stars,
            problems=tuple(choices(row, "problems", Problem.values) for row in ranking) if stars else (),
            generators=tuple(generator(row, "generator") for row in ranking),
            positions=positions(first, [row.fields["position"] for row in ranking]),
            seconds=seconds(first),
            acceptable_slots=acceptable_slots(first, project),
        )


def _parse_cells(row: Row) -> Row:
    """Return the row with numbers, lists and flags in place of texts, and None where a cell is empty.

    In JSON and parquet, cells may be numbers, lists and flags already.
    """
    points = rating_columns([row], CSV).values()
    row.check_names(required=REQUIRED, optional=(*OPTIONAL, *points))
    cells = {name: None if cell == "" else cell for name, cell in row.fields.items()}
    for name in GUARDED:
        if isinstance(text := cells.get(name), str):
            cells[name] = text.removeprefix("'")
    for name in ("slot", "position", "acceptable_slots", *points):
        cells[name] = _parse_number(cells.get(name))
    cells["seconds"] = _parse_decimal(cells.get("seconds"))
    for name in ("issues", "problems"):
        if isinstance(text := cells.get(name), str):
            cells[name] = [] if text == "none" else text.split(";")
    if isinstance(text := cells.get("intent_unclear"), str):
        cells["intent_unclear"] = {"yes": True, "no": False}.get(text, text)
    return row.with_fields(cells)


def _parse_number(cell: object) -> object:
    """Return the number that a text is, or the cell itself: the error then shows it."""
    return int(cell) if isinstance(cell, str) and WHOLE.fullmatch(cell) else cell


def _parse_decimal(cell: object) -> object:
    """Return the number that a text is, or the cell itself: the error then shows it."""
    return float(cell) if isinstance(cell, str) and DECIMAL.fullmatch(cell) else cell


READER = Reader(name="csv", fields=("slot",), read=_read_table)

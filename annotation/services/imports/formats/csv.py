"""Reading the table for spreadsheets, with one row per placed image."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from annotation.models import Issue, Problem, Project
from annotation.models.axes import CSV, columns_among
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
    ratings,
    seconds,
)
from annotation.services.imports.rows import Row

REQUIRED = ("prompt_id", "prompt", "annotator", "image", "slot")
OF_RANKING = ("category", "intent_unclear", "issues", "seconds", "acceptable_slots")
OPTIONAL = (*OF_RANKING, "submitted_at", "sha256", "generator", "position", "problems")
DECIMAL = re.compile(r"[0-9]{1,9}(\.[0-9]{1,9})?")
GUARDED = ("prompt_id", "prompt", "image", "generator")


def _read_table(project: Project, rows: Iterable[Row]) -> Iterator[RankingRecord]:
    parsed = (_parse_cells(row) for row in rows)
    for ranking in group_rows(parsed, lambda row: (row.text("prompt_id"), annotator(row, "annotator"))):
        first = ranking[0]
        check_same(ranking, ("prompt", *OF_RANKING))
        stars = ratings(project, ranking, columns_among(first.fields, CSV))
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
    """Return the row with numbers, lists and flags in place of texts, and None where a cell is empty."""
    points = columns_among(row.fields, CSV).values()
    row.check_names(required=REQUIRED, optional=(*OPTIONAL, *points))
    cells = {name: text or None for name, text in row.fields.items()}
    for name in GUARDED:
        cells[name] = (cells.get(name) or "").removeprefix("'")
    for name in ("slot", "position", "acceptable_slots", *points):
        cells[name] = _parse_number(cells.get(name))
    cells["seconds"] = _parse_decimal(cells.get("seconds"))
    for name in ("issues", "problems"):
        text = cells.get(name)
        cells[name] = None if text is None else [] if text == "none" else text.split(";")
    unclear = cells.get("intent_unclear")
    cells["intent_unclear"] = {"yes": True, "no": False}.get(unclear, unclear) if unclear else None
    return row.with_fields(cells)


def _parse_number(text: str | None) -> int | str | None:
    """Return the number, or the text itself if it is not one: the error then shows it."""
    return int(text) if text and text.isascii() and text.isdigit() and len(text) < 9 else text


def _parse_decimal(text: str | None) -> float | str | None:
    """Return the number, or the text itself if it is not one: the error then shows it."""
    return float(text) if text and DECIMAL.fullmatch(text) else text


READER = Reader(name="csv", fields=("slot",), read=_read_table)

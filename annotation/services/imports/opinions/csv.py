"""Reading the table for spreadsheets: a row a placed image."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

from annotation.models import Issue, Problem, Project
from annotation.models.judgements import SCALES
from annotation.models.prompts import KEY_LENGTH, SOURCE_LENGTH
from annotation.services.imports.opinions.opinion import (
    Opinion,
    Reader,
    annotator,
    category,
    check_same,
    choices,
    distinct,
    flag,
    gathered,
    generator,
    ratings,
)
from annotation.services.imports.rows import Row

REQUIRED = ("prompt_id", "prompt", "annotator", "image", "slot")
OF_OPINION = ("category", "intent_unclear", "issues")
OPTIONAL = (*OF_OPINION, *SCALES, "submitted_at", "sha256", "generator", "problems")
GUARDED = ("prompt_id", "prompt", "image", "generator")


def _read(project: Project, rows: Iterable[Row]) -> Iterator[Opinion]:
    known = (_known(row) for row in rows)
    for opinion in gathered(known, lambda row: (row.text("prompt_id"), annotator(row, "annotator"))):
        first = opinion[0]
        check_same(opinion, ("prompt", *OF_OPINION))
        stars = ratings(opinion, SCALES)
        yield Opinion(
            row=first,
            key=first.text("prompt_id", longest=KEY_LENGTH),
            text=first.text("prompt"),
            sources=distinct(opinion, "image", longest=SOURCE_LENGTH),
            slots=[row.integer("slot", low=1, high=project.slots) for row in opinion],
            annotator=annotator(first, "annotator"),
            category=category(first, "category"),
            intent_unclear=flag(first, "intent_unclear"),
            issues=choices(first, "issues", Issue.values),
            ratings=stars,
            problems=tuple(choices(row, "problems", Problem.values) for row in opinion) if stars else (),
            generators=tuple(generator(row, "generator") for row in opinion),
        )


def _known(row: Row) -> Row:
    """The row with numbers, lists and flags instead of texts, and None where a cell is empty."""
    row.check_names(required=REQUIRED, optional=OPTIONAL)
    cells = {name: text or None for name, text in row.fields.items()}
    for name in GUARDED:
        cells[name] = (cells.get(name) or "").removeprefix("'")
    for name in ("slot", *SCALES):
        cells[name] = _number(cells.get(name))
    for name in ("issues", "problems"):
        said = cells.get(name)
        cells[name] = None if said is None else [] if said == "none" else said.split(";")
    unclear = cells.get("intent_unclear")
    cells["intent_unclear"] = {"yes": True, "no": False}.get(unclear, unclear) if unclear else None
    return replace(row, fields=cells)


def _number(text: str | None) -> int | str | None:
    """The text itself where it is no number: the refusal then shows it."""
    return int(text) if text and text.isascii() and text.isdigit() and len(text) < 9 else text


READER = Reader(tell=("slot",), read=_read)

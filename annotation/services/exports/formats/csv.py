"""A table for spreadsheets, with one row per placed image."""

from __future__ import annotations

import csv
from collections.abc import Iterable
from pathlib import Path

from annotation.downloads import guarded
from annotation.models.judgements import SCALES
from annotation.selectors.exports import ExportedImage, ExportedRanking
from annotation.services.exports.formats.format import Format

FILE = "rankings.csv"
COLUMNS = (
    *(
        "prompt_id",
        "prompt",
        "category",
        "intent_unclear",
        "issues",
        "annotator",
        "submitted_at",
        "seconds",
        "acceptable_slots",
    ),
    *("image", "sha256", "generator", "slot", "position", *SCALES, "problems"),
)


def _row(ranking: ExportedRanking, image: ExportedImage) -> list[object]:
    return [
        guarded(ranking.key),
        guarded(ranking.text),
        ranking.category,
        _cell(ranking.intent_unclear),
        _cell(ranking.issues),
        ranking.annotator,
        ranking.submitted_at.isoformat(),
        _number(ranking.seconds),
        _number(ranking.acceptable_slots),
        guarded(image.source),
        image.sha256 or "",
        guarded(image.generator),
        image.slot,
        _number(image.position),
        *map(_number, (image.overall, image.alignment, image.fidelity)),
        _cell(image.problems),
    ]


def _number(value: float | None) -> float | str:
    """Return the cell of a number, empty where it is unknown."""
    return "" if value is None else value


def _cell(value: bool | list[str] | None) -> str:
    """Return the cell: empty for an unknown value, "none" for an empty list."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return ";".join(value) or "none"


def _append(folder: Path, rankings: Iterable[ExportedRanking]) -> None:
    with (folder / FILE).open("a", encoding="utf-8", newline="") as out:
        table = csv.writer(out)
        if not out.tell():
            table.writerow(COLUMNS)
        table.writerows(_row(ranking, image) for ranking in rankings for image in ranking.images)


FORMAT = Format(
    name="csv",
    label="CSV, a row an image",
    data=FILE,
    about="""One row for every image of an opinion. What is empty is not known; `none` says that there
is none. `position` is where the image stood on the page, from 1, and `seconds` is how long the opinion took,
absences included; images in slots 1 to `acceptable_slots` are acceptable, none where it is 0.
A text that a spreadsheet would take for a formula has an apostrophe before it. Images are
named, not included.""",
    write=lambda folder, part: _append(folder, part.rankings),
    finish=lambda folder: _append(folder, []),
)

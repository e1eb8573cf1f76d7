"""A table for spreadsheets, with one row per placed image."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from pathlib import Path

from annotation.downloads import guarded
from annotation.models.axes import CSV, column_of
from annotation.selectors.exports import ExportedImage, ExportedRanking
from annotation.services.exports.formats.format import Format

FILE = "rankings.csv"
OF_RANKING = (
    "prompt_id",
    "prompt",
    "category",
    "intent_unclear",
    "issues",
    "annotator",
    "submitted_at",
    "seconds",
    "acceptable_slots",
)
OF_IMAGE = ("image", "sha256", "generator", "slot", "position")


def _columns(axes: Sequence[str]) -> list[str]:
    return [*OF_RANKING, *OF_IMAGE, *(column_of(axis, CSV) for axis in axes), "problems"]


def _row(ranking: ExportedRanking, image: ExportedImage, axes: Sequence[str]) -> list[object]:
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
        *(_number(image.points.get(axis)) for axis in axes),
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


def _append(folder: Path, rankings: Iterable[ExportedRanking], axes: Sequence[str]) -> None:
    with (folder / FILE).open("a", encoding="utf-8", newline="") as out:
        table = csv.writer(out)
        if not out.tell():
            table.writerow(_columns(axes))
        table.writerows(_row(ranking, image, axes) for ranking in rankings for image in ranking.images)


FORMAT = Format(
    name="csv",
    label="CSV, a row an image",
    data=FILE,
    about="""One row for every image of an opinion. What is empty is not known; `none` says that there
is none. `position` is where the image stood on the page, from 1, and `seconds` is how long the opinion took,
absences included; images in slots 1 to `acceptable_slots` are acceptable, none where it is 0.
Points from 1 to 7 are in a column for each axis that images were rated on: `overall`, `alignment` and
`fidelity` by these names, any other as its name with `_rating`.
A text that a spreadsheet would take for a formula has an apostrophe before it. Images are
named, not included.""",
    write=lambda folder, part: _append(folder, part.rankings, part.plan.axes),
    finish=lambda folder, plan: _append(folder, [], plan.axes),
)

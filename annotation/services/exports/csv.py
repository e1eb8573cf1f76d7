"""A table for spreadsheets: a row a placed image."""

from __future__ import annotations

import csv
from collections.abc import Iterable
from pathlib import Path

from annotation.downloads import guarded
from annotation.models.judgements import SCALES
from annotation.selectors.exports import ExportedImage, ExportedRanking
from annotation.services.exports.format import Format, Plan

FILE = "rankings.csv"
COLUMNS = (
    *("prompt_id", "prompt", "category", "intent_unclear", "issues", "annotator", "submitted_at"),
    *("image", "sha256", "generator", "slot", *SCALES, "problems"),
)


def _row(opinion: ExportedRanking, image: ExportedImage) -> list[object]:
    return [
        guarded(opinion.key),
        guarded(opinion.text),
        opinion.category,
        _known(opinion.intent_unclear),
        _known(opinion.issues),
        opinion.annotator,
        opinion.submitted_at.isoformat(),
        guarded(image.source),
        image.sha256 or "",
        guarded(image.generator),
        image.slot,
        *("" if said is None else said for said in (image.overall, image.alignment, image.fidelity)),
        _known(image.problems),
    ]


def _known(said: bool | list[str] | None) -> str:
    """Nothing where it is not known; "none" where there is none."""
    if said is None:
        return ""
    if isinstance(said, bool):
        return "yes" if said else "no"
    return ";".join(said) or "none"


def _write(folder: Path, number: int, rankings: Iterable[ExportedRanking], plan: Plan) -> None:
    with (folder / FILE).open("a", encoding="utf-8", newline="") as out:
        table = csv.writer(out)
        if not out.tell():
            table.writerow(COLUMNS)
        table.writerows(_row(opinion, image) for opinion in rankings for image in opinion.images)


def _finish(folder: Path, plan: Plan) -> None:
    _write(folder, 0, [], plan)


FORMAT = Format(
    name="csv",
    label="CSV, a row an image",
    data=FILE,
    about="""One row for every image of an opinion. What is empty is not known; `none` says that there
is none. A text that a spreadsheet would take for a formula has an apostrophe before it. Images are
named, not included.""",
    write=_write,
    finish=_finish,
)

"""Reading ImageRewardDB: one row an image; images lie in folders, or in the zips of the dataset."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from annotation.models import Issue, Problem, Project
from annotation.models.prompts import KEY_LENGTH, SOURCE_LENGTH, Split
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

RATINGS = ("overall_rating", "image_text_alignment_rating", "fidelity_rating")
COLUMNS = (
    *("image_path", "prompt_id", "prompt", "classification", "image_amount_in_total", "rank"),
    *RATINGS,
)
OURS = ("problems", "intent_unclear", "issues", "annotator", "source", "generator", "split")


def _read(project: Project, rows: Iterable[Row]) -> Iterator[Opinion]:
    """Rows of an opinion are gathered, wherever they stand."""

    def whose(row: Row) -> tuple[str, str]:
        row.check_names(required=COLUMNS, optional=OURS)
        return row.text("prompt_id", longest=KEY_LENGTH), annotator(row, "annotator")

    for opinion in gathered(rows, whose):
        first = opinion[0]
        key, who = whose(first)
        check_same(opinion, ("prompt", "classification", "intent_unclear", "issues", "split"))
        for row in opinion:
            if row.integer("image_amount_in_total", low=1, high=project.max_images) != len(opinion):
                raise row.refused(f"prompt {key!r} has {len(opinion)} rows, not as many as it says")
        named = "source" if "source" in first.fields else "image_path"
        stars = ratings(opinion, RATINGS)
        yield Opinion(
            row=first,
            key=key,
            text=first.text("prompt"),
            sources=distinct(opinion, named, longest=SOURCE_LENGTH),
            slots=[row.integer("rank", low=1, high=project.slots) for row in opinion],
            annotator=who,
            category=category(first, "classification"),
            intent_unclear=flag(first, "intent_unclear"),
            issues=choices(first, "issues", Issue.values),
            ratings=stars,
            problems=tuple(choices(row, "problems", Problem.values) for row in opinion) if stars else (),
            generators=tuple(generator(row, "generator") for row in opinion),
            files=tuple(_file(row) for row in opinion),
            split=_split(first),
        )


def _file(row: Row) -> str | None:
    return None if row.fields["image_path"] is None else row.text("image_path", longest=SOURCE_LENGTH)


def _split(row: Row) -> str:
    """metadata-test.parquet is the test split: of the published dataset. Our exports say it in rows."""
    if row.fields.get("split") is not None:
        named = row.text("split")
        if named not in Split.values:
            raise row.refused(f"'split' is {named!r}, which is none of {', '.join(Split.values)}")
        return named
    _, _, named = row.file.stem.partition("metadata-")
    return named if named in Split.values and row.fields.keys().isdisjoint(OURS) else ""


READER = Reader(tell=("image_amount_in_total",), read=_read, in_zips=True)

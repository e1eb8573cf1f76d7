"""Reading ImageRewardDB: one row per image, with images in folders or in the zips of the dataset."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from annotation.models import Issue, Problem, Project
from annotation.models.axes import IMAGEREWARDDB
from annotation.models.prompts import KEY_LENGTH, SOURCE_LENGTH, Split
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

COLUMNS = (
    *("image_path", "prompt_id", "prompt", "classification", "image_amount_in_total", "rank"),
    *IMAGEREWARDDB.values(),
)
OURS = ("problems", "intent_unclear", "issues", "annotator", "source", "generator", "split")
DISPLAY = ("position", "seconds", "acceptable_slots")  # ours too, later than the others


def _read_images(project: Project, rows: Iterable[Row]) -> Iterator[RankingRecord]:
    def identity(row: Row) -> tuple[str, str]:
        row.check_names(
            required=COLUMNS, optional=(*OURS, *DISPLAY, *rating_columns([row], IMAGEREWARDDB).values())
        )
        return row.text("prompt_id", longest=KEY_LENGTH), annotator(row, "annotator")

    for ranking in group_rows(rows, identity):
        first = ranking[0]
        key, name = identity(first)
        check_same(
            ranking,
            ("prompt", "classification", "intent_unclear", "issues", "split", "seconds", "acceptable_slots"),
        )
        for row in ranking:
            if row.integer("image_amount_in_total", low=1, high=project.max_images) != len(ranking):
                raise row.refused(f"prompt {key!r} has {len(ranking)} rows, not as many as it says")
        source = "source" if "source" in first.fields else "image_path"
        stars = ratings(project, ranking, rating_columns(ranking, IMAGEREWARDDB))
        yield RankingRecord(
            row=first,
            key=key,
            text=first.text("prompt"),
            sources=distinct(ranking, source, longest=SOURCE_LENGTH),
            slots=[row.integer("rank", low=1, high=project.slots) for row in ranking],
            annotator=name,
            category=category(first, "classification"),
            intent_unclear=flag(first, "intent_unclear"),
            issues=choices(first, "issues", Issue.values),
            ratings=stars,
            problems=tuple(choices(row, "problems", Problem.values) for row in ranking) if stars else (),
            generators=tuple(generator(row, "generator") for row in ranking),
            files=tuple(_file(row) for row in ranking),
            split=_split(first),
            positions=positions(first, [row.fields.get("position") for row in ranking]),
            seconds=seconds(first),
            acceptable_slots=acceptable_slots(first, project),
        )


def _file(row: Row) -> str | None:
    return None if row.fields["image_path"] is None else row.text("image_path", longest=SOURCE_LENGTH)


def _split(row: Row) -> str:
    """Return the row's split, as in our exports; else the split of a published file by its name; else "".

    metadata-test.parquet of the published dataset is the test split. Raises ImportRefused.
    """
    if row.fields.get("split") is not None:
        split = row.text("split")
        if split not in Split.values:
            raise row.refused(f"'split' is {split!r}, which is none of {', '.join(Split.values)}")
        return split
    _, _, split = row.file.stem.partition("metadata-")
    return split if split in Split.values and row.fields.keys().isdisjoint(OURS) else ""


READER = Reader(
    name="imagerewarddb",
    fields=("image_amount_in_total",),
    read=_read_images,
    in_zips=True,
)

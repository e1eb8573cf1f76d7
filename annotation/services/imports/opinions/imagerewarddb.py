"""Reading ImageRewardDB: one row an image; images lie in folders, or in the zips of the dataset."""

from __future__ import annotations

import shutil
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path

from django.conf import settings

from annotation.models import Issue, Problem, Project
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
from annotation.services.imports.rows import ImportRefused, Row
from annotation.services.imports.zips import BROKEN

RATINGS = ("overall_rating", "image_text_alignment_rating", "fidelity_rating")
COLUMNS = (
    *("image_path", "prompt_id", "prompt", "classification", "image_amount_in_total", "rank"),
    *RATINGS,
)
OURS = ("problems", "intent_unclear", "issues", "annotator", "source", "generator")


def _read(project: Project, rows: Iterable[Row]) -> Iterator[Opinion]:
    """Rows of an opinion are gathered, wherever they stand."""

    def whose(row: Row) -> tuple[str, str]:
        row.check_names(required=COLUMNS, optional=OURS)
        return row.text("prompt_id", longest=KEY_LENGTH), annotator(row, "annotator")

    for opinion in gathered(rows, whose):
        first = opinion[0]
        key, who = whose(first)
        check_same(opinion, ("prompt", "classification", "intent_unclear", "issues"))
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
        )


def _file(row: Row) -> str | None:
    return None if row.fields["image_path"] is None else row.text("image_path", longest=SOURCE_LENGTH)


def _unpack(file: Path, folder: Path, names: list[str], into: Path) -> set[str]:
    """images/train/train_1/NAME is NAME in images/train/train_1.zip, unless somebody unpacked that."""
    by_zip: dict[Path, list[str]] = {}
    for name in names:
        by_zip.setdefault(folder / f"{Path(name).parent}.zip", []).append(name)
    for pack, wanted in by_zip.items():
        if not pack.is_file():
            continue
        try:
            with zipfile.ZipFile(pack) as opened:
                sizes = {member.filename: member.file_size for member in opened.infolist()}
                for name in wanted:
                    if (size := sizes.get(Path(name).name)) is None:
                        continue
                    if size > settings.IMAGE_MAX_BYTES:  # unpacked; no more than this is ever read of it
                        raise ImportRefused(
                            f"{pack}: {Path(name).name} has {size:,} bytes, which no image may"
                        )
                    (into / name).parent.mkdir(parents=True, exist_ok=True)
                    with opened.open(Path(name).name) as content, (into / name).open("wb") as out:
                        shutil.copyfileobj(content, out)
        except BROKEN as error:
            raise ImportRefused(f"{pack}: cannot be unpacked ({error})") from None
    return set()


READER = Reader(tell=("image_amount_in_total",), read=_read, unpack=_unpack)

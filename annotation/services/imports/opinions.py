"""Reading rankings from the paper's two formats."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from annotation.models import Category, Project
from annotation.models.judgements import SCALE
from annotation.models.prompts import KEY_LENGTH, SOURCE_LENGTH
from annotation.services.imports.rows import ImportRefused, Row, read_rows

RATINGS = ("overall_rating", "image_text_alignment_rating", "fidelity_rating")
IMAGEREWARDDB = (
    *("image_path", "prompt_id", "prompt", "classification", "image_amount_in_total", "rank"),
    *RATINGS,
)


@dataclass(frozen=True)
class Opinion:
    """One ranking: `slots[i]` and `ratings[i]` (overall, alignment, fidelity) are of image `sources[i]`."""

    row: Row
    key: str
    text: str
    sources: list[str]
    slots: list[int]
    category: str = ""
    ratings: tuple[tuple[int, int, int], ...] = ()


def read_opinions(project: Project, file: Path) -> list[Opinion]:
    """All rankings of the file, each of which the project's slots can hold. Raises ImportRefused."""
    read = _read_imagerewarddb if file.suffix == ".parquet" else _read_imagereward
    opinions = list(read(project, file))
    if not opinions:
        raise ImportRefused(f"{file}: has no rows")
    seen: dict[str, int] = {}
    for opinion in opinions:
        row = opinion.row
        if seen.setdefault(opinion.key, row.number) != row.number:
            raise row.refused(f"id {opinion.key!r} was in row {seen[opinion.key]} already")
        images = len(opinion.sources)
        if images < 2:
            raise row.refused("fewer than two images are no ranking")
        if images > project.max_images:
            raise row.refused(f"{images} images are more than the {project.max_images} that can be placed")
        slot, held = Counter(opinion.slots).most_common(1)[0]
        if held > project.per_slot:
            raise row.refused(f"slot {slot} has {held} images, and may have {project.per_slot}")
    return opinions


def _read_imagereward(project: Project, file: Path) -> Iterator[Opinion]:
    for row in read_rows(file):
        row.check_names(required=["id", "prompt", "generations", "ranking"])
        sources = row.texts("generations", longest=SOURCE_LENGTH)
        slots = row.integers("ranking", low=1, high=project.slots)
        if len(slots) != len(sources):
            raise row.refused(f"'ranking' has {len(slots)} slots for {len(sources)} images")
        yield Opinion(row, row.text("id", longest=KEY_LENGTH), row.text("prompt"), sources, slots)


def _read_imagerewarddb(project: Project, file: Path) -> Iterator[Opinion]:
    """One row an image: rows of a prompt are gathered by its id, wherever they stand."""
    by_prompt: dict[str, list[Row]] = {}
    for row in read_rows(file):
        row.check_names(required=IMAGEREWARDDB)
        by_prompt.setdefault(row.text("prompt_id", longest=KEY_LENGTH), []).append(row)
    for key, rows in by_prompt.items():
        first = rows[0]
        for row in rows:
            for name in ("prompt", "classification"):
                if row.fields[name] != first.fields[name]:
                    raise row.refused(f"{name!r} differs from row {first.number} of the same prompt")
            if row.integer("image_amount_in_total", low=1, high=project.max_images) != len(rows):
                raise row.refused(f"prompt {key!r} has {len(rows)} rows, not as many as it says")
        sources = [row.text("image_path", longest=SOURCE_LENGTH) for row in rows]
        if repeated := [row for i, row in enumerate(rows) if sources[i] in sources[:i]]:
            raise repeated[0].refused(f"{repeated[0].fields['image_path']!r} is there twice")
        yield Opinion(
            first,
            key,
            first.text("prompt"),
            sources,
            [row.integer("rank", low=1, high=project.slots) for row in rows],
            _category(first),
            tuple(_ratings(row) for row in rows),
        )


def _category(row: Row) -> str:
    """The card writes "Outdoor Scenes", "World Knowledge": the first word tells them apart."""
    word = row.text("classification").split()[0].casefold()
    if word not in Category.values:
        raise row.refused(f"'classification' {row.fields['classification']!r} is unknown")
    return word


def _ratings(row: Row) -> tuple[int, int, int]:
    overall, alignment, fidelity = (row.integer(name, low=SCALE[0], high=SCALE[1]) for name in RATINGS)
    return overall, alignment, fidelity

"""The interface of export formats, which write batches of rankings, and what the formats share."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple

from django.core.files.storage import default_storage

from annotation.models.axes import COLUMNS
from annotation.selectors.exports import ExportedImage, ExportedRanking

PARTS = ".parts"  # a folder of intermediate files, not part of the export
IMAGES = "images"  # where formats of plain files have them


class ExportFailed(Exception):
    """An export cannot be written; the message says why."""


@dataclass(frozen=True)
class Plan:
    """The contents of an export. It is saved with the files, so that a resumed export writes the same.

    `after` and `until` are ISO 8601; `several` is whether any prompt has more than one ranking.
    """

    project: str
    format: str
    after: str | None
    until: str
    images: bool
    several: bool
    rankings: int
    prompts: int
    annotators: int
    axes: list[str] = field(default_factory=lambda: list(COLUMNS))  # by name, in the project's order


class Part(NamedTuple):
    """One batch to write: part `number` of the export, from 1. All rankings of a prompt are in one part."""

    number: int
    rankings: Iterable[ExportedRanking]
    plan: Plan


@dataclass(frozen=True)
class Format:
    """One way of writing rankings.

    Args:
        name: what the API and the command call it.
        label: as shown to people, "NAME: what it is", or the name alone.
        data: glob of the files that hold the rows, as `datasets.load_dataset` reads them.
        about: Markdown for the dataset card: what the rows are.
        write: (folder, part): append the part to the files in the folder, or add files. After an
            interruption the files are truncated to what they were before the part.
        finish: (folder, plan): called after the last part, also when there was none. After an interruption,
            what it added is removed.
        has_images: whether the format can contain image files.
        leaves_out: what Laurel has and the format cannot carry, by name.
    """

    name: str
    label: str
    data: str
    about: str
    write: Callable[[Path, Part], None]
    finish: Callable[[Path, Plan], None]
    has_images: bool = False
    leaves_out: tuple[str, ...] = ()

    @property
    def title(self) -> str:
        """The label's first words: "Pick-a-Pic" of "Pick-a-Pic: parquet with images"."""
        return self.label.partition(":")[0]


def read_image(image: ExportedImage) -> bytes:
    """Read the image's file. Raises: ExportFailed when it is gone from the storage, or was damaged there."""
    assert image.file
    try:
        with default_storage.open(image.file) as file:
            content: bytes = file.read()
    except OSError as error:
        raise ExportFailed(
            f"{image.source}: {image.file} cannot be read from the storage ({error})"
        ) from None
    if hashlib.sha256(content).hexdigest() != image.sha256:
        raise ExportFailed(f"{image.source}: {image.file} is not as it was stored: see manage.py check_files")
    return content


def store_image(folder: Path, image: ExportedImage) -> str | None:
    """Write the image's file into the folder once; return its path there, None where there is no file.

    Raises: ExportFailed.
    """
    if not image.file:
        return None
    name = f"{IMAGES}/{image.stored_name}"
    if not (folder / name).exists():
        (folder / IMAGES).mkdir(exist_ok=True)
        (folder / name).write_bytes(read_image(image))
    return name


def by_images(rankings: Iterable[ExportedRanking]) -> Iterator[list[ExportedRanking]]:
    """Yield the rankings of the same images of a prompt: some may be added between two rankings."""
    for of_prompt in by_prompt(rankings):
        groups: dict[frozenset[str], list[ExportedRanking]] = {}
        for ranking in of_prompt:
            groups.setdefault(frozenset(image.source for image in ranking.images), []).append(ranking)
        yield from groups.values()


def read_back(file: Path) -> Iterator[dict[str, Any]]:
    """Yield the items that `append_to_list` wrote, one in memory at a time."""
    if file.exists():
        with file.open(encoding="utf-8") as lines:
            for line in lines:
                if line.startswith("{"):
                    yield json.loads(line.rstrip(",\n"))


def as_json(item: object) -> str:
    """Serialize to one line of JSON."""
    return json.dumps(item, ensure_ascii=False)


def append_to_list(file: Path, items: Iterable[object]) -> None:
    """Append items to a JSON list that is not closed yet, one per line."""
    with file.open("a", encoding="utf-8") as out:
        lead = "," if out.tell() else "["
        for item in items:
            out.write(f"{lead}\n{as_json(item)}")
            lead = ","


def close_list(file: Path) -> None:
    """End the list that `append_to_list` began; without one, write an empty list."""
    with file.open("a", encoding="utf-8") as out:
        out.write("\n]\n" if out.tell() else "[]\n")


def by_prompt(rankings: Iterable[ExportedRanking]) -> Iterator[list[ExportedRanking]]:
    """Yield the rankings of one prompt after another."""
    for _, group in groupby(rankings, key=lambda ranking: ranking.key):
        yield list(group)


def count_pairs(rankings: Iterable[ExportedRanking]) -> int:
    """Count the pairs of images within each ranking, ties included."""
    return sum(len(ranking.images) * (len(ranking.images) - 1) // 2 for ranking in rankings)

"""What a format is: how rankings become files, a batch at a time."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from annotation.selectors.exports import ExportedRanking

PARTS = ".parts"  # a folder among the files that is there while they are written, and never delivered


class ExportFailed(Exception):
    """Why an export cannot be written."""


@dataclass(frozen=True)
class Plan:
    """What an export is to hold. It is kept with the files, so that who goes on writes the same.

    `after` and `until` are ISO moments; `several` says whether a prompt has more than one opinion.
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


@dataclass(frozen=True)
class Format:
    """One way of writing rankings.

    Args:
        write: (folder, number of the batch from 1, rankings by prompt, plan): appends the batch to the files
            that are there, or adds files. Files are cut back to their length before a batch that broke off.
        finish: (folder, plan): after the last batch, also when there was none. When it breaks off, what it
            added is cut off again.
        data: the files that hold the rows, as a pattern; what `datasets.load_dataset` reads.
        about: what the rows are, for the card.
        has_images: whether image files can be in it.
    """

    name: str
    label: str
    data: str
    about: str
    write: Callable[[Path, int, Iterable[ExportedRanking], Plan], None]
    finish: Callable[[Path, Plan], None]
    has_images: bool = False


def as_json(item: object) -> str:
    """One line."""
    return json.dumps(item, ensure_ascii=False)


def append_to_list(file: Path, items: Iterable[object]) -> None:
    """Add items to a JSON list that has no end yet, an item a line."""
    with file.open("a", encoding="utf-8") as out:
        lead = "," if out.tell() else "["
        for item in items:
            out.write(f"{lead}\n{as_json(item)}")
            lead = ","


def close_list(file: Path) -> None:
    with file.open("a", encoding="utf-8") as out:
        out.write("\n]\n" if out.tell() else "[]\n")


def by_prompt(rankings: Iterable[ExportedRanking]) -> Iterator[list[ExportedRanking]]:
    """The opinions on one prompt after another."""
    prompt: list[ExportedRanking] = []
    for ranking in rankings:
        if prompt and ranking.key != prompt[0].key:
            yield prompt
            prompt = []
        prompt.append(ranking)
    if prompt:
        yield prompt


def count_pairs(opinions: Iterable[ExportedRanking]) -> int:
    """Every two images of each opinion, ties included."""
    return sum(len(opinion.images) * (len(opinion.images) - 1) // 2 for opinion in opinions)

"""The first images by which a tuned generator was judged, and its parent's, as files to look at."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal, get_args

from PIL.Image import Image

from annotation.stored_files import open_file
from rewardmodel.learning.saving import write_whole

FOLDER, INDEX = "judged", "index.json"
# Ours. Judging makes many more, and larger: these are for pages, which show them no larger.
STORED, LARGEST = 24, 512
LOSSLESS = 256  # pixels, up to which nothing is lost: fewer than one for each colour would show

Side = Literal["before", "after"]
SIDES: tuple[Side, ...] = get_args(Side)
Size = tuple[int, int]  # width and height, pixels


@dataclass(frozen=True)
class JudgedPair:
    """What is known of two images of one prompt and seed: their sizes, the parent's first."""

    prompt: str
    seed: int
    before: Size
    after: Size


def judged_file(run: Path, number: int, side: Side) -> Path:
    """Return where an image of the run's folder lies, of the pair with this number, from 0."""
    return run / FOLDER / f"{number:03}-{side}.webp"


def store_judged(
    run: Path, prompts: Sequence[str], seeds: Sequence[int], before: Sequence[Image], after: Sequence[Image]
) -> None:
    """Store the first pairs in the run's folder, all of them or none; what was stored there before goes.

    Args: before, after: an image of each prompt, made from its seed by the parent, and by the tuned one.
    Raises: NotSaved.
    """
    rows = list(zip(prompts, seeds, before, after, strict=True))[:STORED]
    with write_whole(run / FOLDER) as partial:
        partial.mkdir()
        pairs = [
            asdict(
                JudgedPair(
                    prompt,
                    seed,
                    before=_store(first, partial / judged_file(run, number, "before").name),
                    after=_store(second, partial / judged_file(run, number, "after").name),
                )
            )
            for number, (prompt, seed, first, second) in enumerate(rows)
        ]
        (partial / INDEX).write_text(json.dumps(pairs, ensure_ascii=False), encoding="utf-8")


def _store(image: Image, file: Path) -> Size:
    """Store the image, made smaller where it is large; return its size as stored."""
    small = image.copy()
    small.thumbnail((LARGEST, LARGEST))
    small.save(file, "WEBP", quality=92, lossless=max(small.size) <= LOSSLESS)
    return small.size


def read_judged(run: Path) -> list[JudgedPair]:
    """Return the stored pairs in order; none of a run that was not judged, or before this was stored."""
    try:
        with open_file(run / FOLDER / INDEX) as file:
            stored = json.load(file)
    except FileNotFoundError:
        return []
    return [
        JudgedPair(pair["prompt"], pair["seed"], tuple(pair["before"]), tuple(pair["after"]))
        for pair in stored
    ]

"""Pre-training pairs: a folder of captioned images, the data that keep the generator what it is."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor

from refl.learning.prompts import is_unicode
from rewardmodel.learning.data.preprocessing import UnreadableImage, check_header, read_image
from rewardmodel.learning.data.rankings import Ranking
from rewardmodel.learning.errors import PermanentError


class BadPairs(PermanentError):
    """The folder of pre-training pairs cannot be used; the message names file and row."""


@dataclass(frozen=True)
class Pair:
    """An image file and its caption. Attributes: weight: of its loss, beside other pairs'."""

    file: Path
    prompt: str
    weight: float = 1.0


@dataclass(frozen=True)
class Preference:
    """Two images of one prompt, of which people preferred one."""

    prompt: str
    chosen: Path
    rejected: Path


def read_pairs(folder: Path) -> list[Pair]:
    """Read the pairs that `pairs.jsonl` lists, each row {"file", "prompt"}; files are named from the folder.

    Every image is looked at, so that none is found broken in the middle of a run.

    Raises: BadPairs when a row is not such an object, an image is missing or broken, or there are none.
    """
    listing = folder / "pairs.jsonl"
    try:
        # Not splitlines: JSON may hold U+2028 and others that end a line there.
        lines = listing.read_text(encoding="utf-8-sig").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise BadPairs(f"{listing}: {error}") from error
    rows = {row: _parse_pair(listing, row, line) for row, line in enumerate(lines, 1) if line.strip()}
    if not rows:
        raise BadPairs(f"{listing}: no pairs in it")
    checked: set[Path] = set()
    for row, pair in rows.items():
        if pair.file not in checked:
            _check_image(listing, row, pair.file)
            checked.add(pair.file)
    return list(rows.values())


def _parse_pair(listing: Path, row: int, line: str) -> Pair:
    try:
        fields = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise BadPairs(f"{listing}, row {row}: no JSON: {error}") from error
    if not isinstance(fields, dict) or set(fields) != {"file", "prompt"}:
        raise BadPairs(f'{listing}, row {row}: wanted an object with "file" and "prompt", and no more')
    if not all(isinstance(value, str) and is_unicode(value) for value in fields.values()):
        raise BadPairs(f'{listing}, row {row}: "file" and "prompt" must be text')
    return Pair(listing.parent / fields["file"], fields["prompt"])


def _check_image(listing: Path, row: int, file: Path) -> None:
    """Raises: BadPairs for a file that is missing or no whole image, which is decoded only in doubt."""
    try:
        if not file.is_file():
            raise BadPairs(f"{listing}, row {row}: no file {file}")
        if not _ends_as_it_should(file):
            read_image(file)
    except (OSError, UnreadableImage) as error:
        raise BadPairs(f"{listing}, row {row}: {error}; put it there again, or leave the row out") from error


def _ends_as_it_should(file: Path) -> bool:
    """Whether a PNG has all its chunks, or a JPEG its last marker; False where that is not known."""
    try:
        with Image.open(file) as image:
            check_header(image)
            if image.format == "PNG":
                image.verify()
                return True
            with file.open("rb") as opened:
                opened.seek(-2, os.SEEK_END)
                return image.format == "JPEG" and opened.read() == b"\xff\xd9"
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):
        return False


def load_images(pairs: Sequence[Pair], size: tuple[int, int]) -> Tensor:
    """Load the images, upright, cropped in the middle and resized to (width, height). (B, 3, H, W) in -1..1

    Raises: BadPairs naming a file that is no image.
    """
    return torch.stack([_load_image(pair.file, size) for pair in pairs])


def _load_image(file: Path, size: tuple[int, int]) -> Tensor:
    try:
        image = read_image(file)
    except UnreadableImage as error:
        raise BadPairs(str(error)) from error
    if image.size != size:
        image = ImageOps.fit(image, size, Image.Resampling.BICUBIC)
    pixels = torch.from_numpy(np.array(image))  # (H, W, 3) uint8
    return pixels.permute(2, 0, 1).float() / 127.5 - 1  # (3, H, W)


def preferences_of(rankings: Iterable[Ranking]) -> list[Preference]:
    """Return each two images of a ranking that are in different places; ties tell nothing and are left out.

    Raises: BadPairs where an image is missing.
    """
    preferences = []
    for ranking in rankings:
        for image in ranking.images:
            if not image.is_file():
                raise BadPairs(f"ranking {ranking.id}: no file {image}")
        placed = zip(ranking.places, ranking.images, strict=True)
        for (place, image), (other_place, other) in combinations(placed, 2):
            if place != other_place:
                chosen, rejected = (image, other) if place < other_place else (other, image)
                preferences.append(Preference(ranking.prompt, chosen, rejected))
    return preferences

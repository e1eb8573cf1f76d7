"""Pre-training pairs: a folder of captioned images, the data that keep the generator what it is."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor

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

    Raises: BadPairs when a row is not such an object, an image is missing, or there are none.
    """
    listing = folder / "pairs.jsonl"
    try:
        lines = listing.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise BadPairs(f"{listing}: {error}") from error
    pairs = [_parse_pair(listing, row, line) for row, line in enumerate(lines, 1) if line.strip()]
    if not pairs:
        raise BadPairs(f"{listing}: no pairs in it")
    return pairs


def _parse_pair(listing: Path, row: int, line: str) -> Pair:
    try:
        fields = json.loads(line)
    except json.JSONDecodeError as error:
        raise BadPairs(f"{listing}, row {row}: {error}") from error
    if not isinstance(fields, dict) or set(fields) != {"file", "prompt"}:
        raise BadPairs(f'{listing}, row {row}: wanted an object with "file" and "prompt", and no more')
    if not all(isinstance(value, str) for value in fields.values()):
        raise BadPairs(f'{listing}, row {row}: "file" and "prompt" must be text')
    file = listing.parent / fields["file"]
    if not file.is_file():
        raise BadPairs(f"{listing}, row {row}: no file {file}")
    return Pair(file, fields["prompt"])


def load_images(pairs: Sequence[Pair], size: tuple[int, int]) -> Tensor:
    """Load the images, cropped in the middle and resized to (width, height). (B, 3, H, W) in -1..1

    Raises: BadPairs naming a file that is no image.
    """
    return torch.stack([_load_image(pair.file, size) for pair in pairs])


def _load_image(file: Path, size: tuple[int, int]) -> Tensor:
    try:
        with Image.open(file) as opened:
            image = opened.convert("RGB")
    except (OSError, Image.DecompressionBombError) as error:
        raise BadPairs(f"{file}: {error}") from error
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

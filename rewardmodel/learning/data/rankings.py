"""The rankings of a dataset version, as rankings.jsonl holds them."""

from __future__ import annotations

import copy
import hashlib
import json
import os
from array import array
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, overload

from rewardmodel.learning.model.aspects import Answers, read_answers

SPLITS = ("train", "validation", "test")
FIELDS = {"id", "prompt", "split", "images", "ranking"}
SOFT = "preferred"
OPTIONAL = {SOFT, "ratings", "problems"}


class DatasetError(ValueError):
    """A dataset version cannot be read or used; the message names file and line, or what is missing."""


@dataclass(frozen=True)
class Ranking:
    """One person's order of the images of one prompt."""

    id: str
    prompt: str
    images: tuple[Path, ...]
    places: tuple[int, ...]  # 1 is best; equal places tie
    # Of each two images, as itertools.combinations orders them: the probability that the first is preferred.
    preferred: tuple[float, ...] | None = None
    aspects: Mapping[str, Answers] = field(default_factory=dict, hash=False)

    @property
    def pairs(self) -> int:
        """Pairs of images in different places."""
        places = self.places
        return sum(a != b for i, a in enumerate(places) for b in places[i + 1 :])


class Rankings(Sequence[Ranking]):
    """One split of a dataset version; each ranking is read from the file when it is asked for.

    Memory holds the offset of each ranking and its number of pairs: 20 bytes, where the ranking itself takes
    thousands.
    """

    def __init__(self, file: BinaryIO, root: Path) -> None:
        """An empty split, which `load_splits` fills."""
        self.root = root
        self.pairs = array("L")  # of each ranking, as `Ranking.pairs` counts them
        self.digest = ""  # SHA-256 of the whole file, with all splits
        self._file = file
        self._offsets, self._lengths = array("Q"), array("L")

    def filter(self, wanted: Callable[[Ranking], bool]) -> Rankings:
        """Return the rankings of which `wanted` is true."""
        indices = [index for index in range(len(self)) if wanted(self[index])]
        subset = copy.copy(self)
        subset.pairs = array("L", [self.pairs[index] for index in indices])
        subset._offsets = array("Q", [self._offsets[index] for index in indices])
        subset._lengths = array("L", [self._lengths[index] for index in indices])
        return subset

    def __len__(self) -> int:
        return len(self.pairs)

    @overload
    def __getitem__(self, index: int) -> Ranking: ...

    @overload
    def __getitem__(self, index: slice) -> list[Ranking]: ...

    def __getitem__(self, index: int | slice) -> Ranking | list[Ranking]:
        if isinstance(index, slice):
            return [self[position] for position in range(*index.indices(len(self)))]
        line = os.pread(self._file.fileno(), self._lengths[index], self._offsets[index])
        return _parse_line(line.decode(), self.root)[1]


def load_splits(folder: Path, images: Path | None = None) -> dict[str, Rankings]:
    """Open all splits of `rankings.jsonl`, reading it once and checking each line.

    Rankings in which all images tie teach nothing and are left out.

    Args:
        folder: the dataset version's.
        images: what image paths are relative to; the folder itself when not given.
    Raises: DatasetError.
    """
    file, root = folder / "rankings.jsonl", folder if images is None else images
    offset, digest = 0, hashlib.sha256()
    try:
        opened = file.open("rb")
        splits = {split: Rankings(opened, root) for split in SPLITS}
        for number, line in enumerate(opened, start=1):
            try:
                split, ranking = _parse_line(line.decode(), root)
            except (ValueError, TypeError, KeyError) as error:
                raise DatasetError(f"{file}, line {number}: {error}") from error
            if ranking.pairs:
                splits[split].pairs.append(ranking.pairs)
                splits[split]._offsets.append(offset)
                splits[split]._lengths.append(len(line))
            offset += len(line)
            digest.update(line)
    except OSError as error:
        raise DatasetError(f"{file}: cannot be read ({error})") from error
    for rankings in splits.values():
        rankings.digest = digest.hexdigest()
    return splits


def load_rankings(folder: Path, split: str, images: Path | None = None) -> Rankings:
    """Open one split, as `load_splits` does all. Raises: DatasetError."""
    if split not in SPLITS:
        raise DatasetError(f"no split {split!r}; there are {', '.join(SPLITS)}")
    return load_splits(folder, images)[split]


def _parse_line(line: str, root: Path) -> tuple[str, Ranking]:
    """Return the split and the ranking. Raises: ValueError, TypeError, KeyError."""
    row = json.loads(line)
    if not isinstance(row, dict) or set(row) - OPTIONAL != FIELDS:
        needed, besides = ", ".join(sorted(FIELDS)), ", ".join(sorted(OPTIONAL))
        raise ValueError(f"a ranking has the fields {needed}, and may have {besides}")
    if row["split"] not in SPLITS:
        raise ValueError(f"no split {row['split']!r}")
    if not isinstance(row["prompt"], str):
        raise ValueError(f"a prompt is a text, not {row['prompt']!r}")
    if not isinstance(row["images"], list):
        raise ValueError(f"images are a list of paths, not {row['images']!r}")
    places = row["ranking"]
    if len(row["images"]) != len(places) or len(places) < 2:
        raise ValueError(f"{len(row['images'])} images, {len(places)} places")
    if not all(type(place) is int and place >= 1 for place in places):
        raise ValueError(f"places are whole numbers from 1, not {places}")
    for path in row["images"]:
        if not isinstance(path, str) or not _is_inside(path):
            raise ValueError(f"the path of an image leads from its folder to within it, not {path!r}")
    paths = tuple(root / path for path in row["images"])
    preferred = _parse_soft_labels(row[SOFT], len(places)) if SOFT in row else None
    aspects = read_answers(row, len(places))
    return row["split"], Ranking(str(row["id"]), row["prompt"], paths, tuple(places), preferred, aspects)


def _is_inside(path: str) -> bool:
    """Whether the path stays within the folder that it is relative to."""
    return not os.path.isabs(path) and (".." not in path or os.path.normpath(path).split(os.sep)[0] != "..")


def _parse_soft_labels(labels: Any, images: int) -> tuple[float, ...]:
    pairs = images * (images - 1) // 2
    if len(labels) != pairs:
        raise ValueError(f"{SOFT} has {len(labels)} probabilities for {pairs} pairs")
    if not all(type(label) in (int, float) and 0 <= label <= 1 for label in labels):
        raise ValueError(f"{SOFT} has probabilities from 0 to 1, not {labels}")
    return tuple(map(float, labels))


def fingerprint(*splits: Sequence[Ranking]) -> str:
    """Return a hash of the rankings in their order; images count by file name."""
    digest = hashlib.sha256()

    def add(text: str) -> None:
        digest.update(text.encode())

    for number, split in enumerate(splits):  # all as one JSON text, of which memory holds a row at a time
        add(", [" if number else "[[")
        for row, r in enumerate(split):
            add(", " if row else "")
            aspects = [r.aspects] if r.aspects else []
            names = [path.name for path in r.images]
            add(json.dumps([r.id, r.prompt, names, r.places, *(r.preferred or ()), *aspects]))
        add("]")
    add("]")
    return digest.hexdigest()

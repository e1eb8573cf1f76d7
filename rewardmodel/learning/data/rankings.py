"""Rankings of a dataset version, and the batches made of them."""

from __future__ import annotations

import copy
import hashlib
import json
import os
from array import array
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, Protocol, overload

import torch
from torch import Tensor

from rewardmodel.learning.data.pixels import Pixels
from rewardmodel.learning.data.preprocessing import normalise, tokenise
from rewardmodel.learning.model.aspects import Answers, questions, read_answers

SPLITS = ("train", "validation", "test")
FIELDS = {"id", "prompt", "split", "images", "ranking"}
SOFT = "preferred"
OPTIONAL = {SOFT, "ratings", "problems"}  # what a row may have besides


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
    """One split of a dataset version, read from its file as it is asked for.

    In memory lies where each ranking begins and how many pairs it has: 20 bytes, where the ranking itself
    takes thousands.
    """

    def __init__(self, file: BinaryIO, root: Path) -> None:
        """Of no ranking yet: `load_splits` knows which lines belong to it."""
        self.root = root
        self.pairs = array("L")  # of images in different places, of each ranking
        self.digest = ""  # of the whole file, with all splits
        self._file = file
        self._begins, self._lengths = array("Q"), array("L")

    def those(self, wanted: Callable[[Ranking], bool]) -> Rankings:
        """The rankings that are wanted, of the same file."""
        kept = [index for index in range(len(self)) if wanted(self[index])]
        few = copy.copy(self)
        few.pairs = array("L", [self.pairs[index] for index in kept])
        few._begins = array("Q", [self._begins[index] for index in kept])
        few._lengths = array("L", [self._lengths[index] for index in kept])
        return few

    def __len__(self) -> int:
        return len(self.pairs)

    @overload
    def __getitem__(self, index: int) -> Ranking: ...

    @overload
    def __getitem__(self, index: slice) -> list[Ranking]: ...

    def __getitem__(self, index: int | slice) -> Ranking | list[Ranking]:
        if isinstance(index, slice):
            return [self[each] for each in range(*index.indices(len(self)))]
        line = os.pread(self._file.fileno(), self._lengths[index], self._begins[index])
        return _parse(line.decode(), self.root)[1]


def load_splits(folder: Path, images: Path | None = None) -> dict[str, Rankings]:
    """Open all splits of `rankings.jsonl`, which is read once and each line of it checked.

    Rankings in which all images tie say nothing and are left out.

    Args:
        folder: the dataset version's.
        images: what image paths are relative to; the folder itself when not given.
    Raises: DatasetError.
    """
    file, root = folder / "rankings.jsonl", folder if images is None else images
    begin, digest = 0, hashlib.sha256()
    try:
        opened = file.open("rb")
        splits = {split: Rankings(opened, root) for split in SPLITS}
        for number, line in enumerate(opened, start=1):
            try:
                split, ranking = _parse(line.decode(), root)
            except (ValueError, TypeError, KeyError) as error:
                raise DatasetError(f"{file}, line {number}: {error}") from error
            if ranking.pairs:
                splits[split].pairs.append(ranking.pairs)
                splits[split]._begins.append(begin)
                splits[split]._lengths.append(len(line))
            begin += len(line)
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


def _parse(line: str, root: Path) -> tuple[str, Ranking]:
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
        if not isinstance(path, str) or not _stays(path):
            raise ValueError(f"the path of an image leads from its folder to within it, not {path!r}")
    paths = tuple(root / path for path in row["images"])
    preferred = _soft_labels(row[SOFT], len(places)) if SOFT in row else None
    aspects = read_answers(row, len(places))
    return row["split"], Ranking(str(row["id"]), row["prompt"], paths, tuple(places), preferred, aspects)


def _stays(path: str) -> bool:
    """Whether it leads nowhere outside of the folder that it starts from."""
    return not os.path.isabs(path) and (".." not in path or os.path.normpath(path).split(os.sep)[0] != "..")


def _soft_labels(given: Any, images: int) -> tuple[float, ...]:
    pairs = images * (images - 1) // 2
    if len(given) != pairs:
        raise ValueError(f"{SOFT} has {len(given)} probabilities for {pairs} pairs")
    if not all(type(each) in (int, float) and 0 <= each <= 1 for each in given):
        raise ValueError(f"{SOFT} has probabilities from 0 to 1, not {given}")
    return tuple(map(float, given))


def fingerprint(*splits: Sequence[Ranking]) -> str:
    """Same rankings, same order: same text. Images count by name."""
    digest = hashlib.sha256()

    def add(text: str) -> None:
        digest.update(text.encode())

    for number, split in enumerate(splits):  # all as one JSON text, of which a row at a time is held
        add(", [" if number else "[[")
        for row, r in enumerate(split):
            add(", " if row else "")
            said = [r.aspects] if r.aspects else []
            known = [r.id, r.prompt, [p.name for p in r.images], r.places, *(r.preferred or ()), *said]
            add(json.dumps(known))
        add("]")
    add("]")
    return digest.hexdigest()


@dataclass(frozen=True)
class Batch:
    """Some rankings as tensors. places is 0 and images is black where a prompt has fewer than K images.

    `preferred` is None unless all of them have soft labels.
    """

    tokens: Tensor  # (B, T) int64
    mask: Tensor  # (B, T) int64
    images: Tensor  # (B, K, 3, H, W), normalised; with a block, (B, K, P, V), what that one is given
    places: Tensor  # (B, K) int64, 1 is best
    preferred: Tensor | None = None  # (B, K, K): probability that i is preferred to j
    block: int | None = None
    # Of each aspect asked for, (B, K, questions): 1 for yes, 0 for no, NaN where nobody said.
    aspects: Mapping[str, Tensor] = field(default_factory=dict)

    @property
    def real(self) -> Tensor:
        """(B, K) bool: which images there are."""
        return self.places > 0


class Activations(Protocol):
    """Gives what the first vision block that trains makes its output of, instead of pixels."""

    block: int

    def activations(self, images: Sequence[Path]) -> Tensor:
        """(N, P, V) on the device. Raises: UnreadableImage."""


def collate(
    rankings: Sequence[Ranking],
    *,
    pixels: Pixels,
    tokenizer: Any,
    max_tokens: int,
    device: torch.device,
    boundary: Activations | None = None,
    aspects: Sequence[str] = (),
) -> Batch:
    """Put rankings side by side on the device, padded to the most images one has.

    Args: aspects: of which people's answers come along.
    """
    most = max(len(ranking.images) for ranking in rankings)
    places = torch.zeros(len(rankings), most, dtype=torch.int64)
    for row, ranking in enumerate(rankings):
        places[row, : len(ranking.places)] = torch.tensor(ranking.places)
    files = [path for ranking in rankings for path in ranking.images]
    if boundary is None:
        whole = torch.stack([pixels.get(path) for path in files])
        seen = normalise(whole.to(device), pixels.wanted)  # (N, 3, H, W)
    else:
        seen = boundary.activations(files)  # (N, P, V)
    images = seen.new_zeros(*places.shape, *seen.shape[1:])
    images[places > 0] = seen
    tokens, mask = tokenise(tokenizer, [ranking.prompt for ranking in rankings], max_tokens)
    preferred = _square(rankings, most)
    return Batch(
        tokens.to(device),
        mask.to(device),
        images,
        places.to(device),
        None if preferred is None else preferred.to(device),
        None if boundary is None else boundary.block,
        {name: _answers(rankings, name, most).to(device) for name in aspects},
    )


def _answers(rankings: Sequence[Ranking], aspect: str, most: int) -> Tensor:
    """(B, K, questions): 1 for yes, 0 for no, NaN where nobody said."""
    table = torch.full((len(rankings), most, questions(aspect)), torch.nan)
    for row, ranking in enumerate(rankings):
        for column, said in enumerate(ranking.aspects.get(aspect, ())):
            if said is not None:
                table[row, column] = torch.tensor(said, dtype=table.dtype)
    return table


def _square(rankings: Sequence[Ranking], most: int) -> Tensor | None:
    """(B, K, K): the soft labels of both orders of each pair, 0.5 where there is no pair."""
    square = torch.full((len(rankings), most, most), 0.5)
    for row, ranking in enumerate(rankings):
        if ranking.preferred is None:
            return None
        first, second = torch.triu_indices(len(ranking.places), len(ranking.places), 1)
        labels = torch.tensor(ranking.preferred)
        square[row, first, second], square[row, second, first] = labels, 1 - labels
    return square

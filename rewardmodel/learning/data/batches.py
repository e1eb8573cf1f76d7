"""Rankings as tensors: batches of them side by side, and the loader that makes these one after another."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor

from rewardmodel.learning.data.pixels import Pixels
from rewardmodel.learning.data.preprocessing import normalise, tokenise
from rewardmodel.learning.data.rankings import Ranking
from rewardmodel.learning.model.aspects import questions


@dataclass(frozen=True)
class Batch:
    """B rankings of at most K images. places is 0 and images is black where one has fewer.

    `preferred` is None unless all of them have soft labels.
    """

    rankings: Sequence[Ranking]  # B
    tokens: Tensor  # (B, T) int64
    mask: Tensor  # (B, T) int64
    images: Tensor  # (B, K, 3, H, W), normalised; with a block, (B, K, P, V), the input of that block
    places: Tensor  # (B, K) int64, 1 is best
    preferred: Tensor | None = None  # (B, K, K): probability that i is preferred to j
    block: int | None = None
    # Of each aspect asked for, (B, K, questions): 1 for yes, 0 for no, NaN where nobody said.
    aspects: Mapping[str, Tensor] = field(default_factory=dict)

    @property
    def real(self) -> Tensor:
        """(B, K) bool: False where a ranking has fewer images."""
        return self.places > 0

    def at_fault(self, rewards: Tensor) -> Sequence[Ranking]:
        """Return the rankings with a reward (B, K) that is no finite number; all if every reward is."""
        broken = (~rewards.isfinite()).any(dim=1).tolist()
        return [ranking for ranking, bad in zip(self.rankings, broken, strict=True) if bad] or self.rankings


class Features(Protocol):
    """Gives the input of the first image block that trains, in place of an image's pixels."""

    block: int

    def get(self, images: Sequence[Path]) -> Tensor:
        """(N, P, V) on the device. Raises: UnreadableImage."""

    def missing(self, images: Iterable[Path]) -> list[Path]:
        """Those whose pixels `get` would decode."""


class BatchLoader:
    """Collates rankings into micro-batches; while one is at work, the images of the next are decoded.

    Args:
        images: of a micro-batch, at most.
        aspects: of which people's answers come along.
    """

    def __init__(
        self,
        *,
        pixels: Pixels,
        tokenizer: Any,
        max_tokens: int,
        images: int,
        device: torch.device,
        aspects: Sequence[str] = (),
    ) -> None:
        self.pixels, self.tokenizer, self.max_tokens = pixels, tokenizer, max_tokens
        self.images, self.device, self.aspects = images, device, aspects

    def load(
        self, rankings: Iterable[Ranking], *, features: Features | None, upcoming: Iterable[Ranking] = ()
    ) -> Iterator[Batch]:
        """Yield all of the rankings in micro-batches.

        Args:
            features: None takes pixels.
            upcoming: rankings to decode while the last micro-batch is at work.
        """
        parts = micro_batches(rankings, self.images)
        part = next(parts, None)
        self._prefetch(part or (), features)
        while part is not None:
            batch, following = self._collate(part, features), next(parts, None)
            self._prefetch(upcoming if following is None else following, features)
            yield batch
            part = following

    def _prefetch(self, rankings: Iterable[Ranking], features: Features | None) -> None:
        files = [file for ranking in rankings for file in ranking.images]
        self.pixels.prefetch(files if features is None else features.missing(files))

    def _collate(self, rankings: Sequence[Ranking], features: Features | None) -> Batch:
        return collate(
            rankings,
            pixels=self.pixels,
            tokenizer=self.tokenizer,
            max_tokens=self.max_tokens,
            device=self.device,
            features=features,
            aspects=self.aspects,
        )

    def close(self) -> None:
        """End the threads that decode."""
        self.pixels.close()


def micro_batches(rankings: Iterable[Ranking], images: int) -> Iterator[list[Ranking]]:
    """Cut rankings into parts of at most so many images, but of one ranking at least."""
    part: list[Ranking] = []
    size = 0
    for ranking in rankings:
        if part and size + len(ranking.images) > images:
            yield part
            part, size = [], 0
        part.append(ranking)
        size += len(ranking.images)
    if part:
        yield part


def collate(
    rankings: Sequence[Ranking],
    *,
    pixels: Pixels,
    tokenizer: Any,
    max_tokens: int,
    device: torch.device,
    features: Features | None = None,
    aspects: Sequence[str] = (),
) -> Batch:
    """Put rankings side by side on the device, padded to the most images that one has.

    Args:
        features: None takes pixels.
        aspects: of which people's answers come along.
    """
    k = max(len(ranking.images) for ranking in rankings)
    places = torch.zeros(len(rankings), k, dtype=torch.int64)
    for row, ranking in enumerate(rankings):
        places[row, : len(ranking.places)] = torch.tensor(ranking.places)
    files = [path for ranking in rankings for path in ranking.images]
    if features is None:
        decoded = torch.stack([pixels.get(path) for path in files])
        flat = normalise(decoded.to(device), pixels.image_input)  # (N, 3, H, W)
    else:
        flat = features.get(files)  # (N, P, V)
    images = flat.new_zeros(*places.shape, *flat.shape[1:])
    images[places > 0] = flat
    tokens, mask = tokenise(tokenizer, [ranking.prompt for ranking in rankings], max_tokens)
    preferred = _soft_label_matrix(rankings, k)
    return Batch(
        rankings,
        tokens.to(device),
        mask.to(device),
        images,
        places.to(device),
        None if preferred is None else preferred.to(device),
        None if features is None else features.block,
        {name: _answer_targets(rankings, name, k).to(device) for name in aspects},
    )


def _answer_targets(rankings: Sequence[Ranking], aspect: str, k: int) -> Tensor:
    """(B, K, questions): 1 for yes, 0 for no, NaN where nobody said."""
    targets = torch.full((len(rankings), k, questions(aspect)), torch.nan)
    for row, ranking in enumerate(rankings):
        for column, answer in enumerate(ranking.aspects.get(aspect, ())):
            if answer is not None:
                targets[row, column] = torch.tensor(answer, dtype=targets.dtype)
    return targets


def _soft_label_matrix(rankings: Sequence[Ranking], k: int) -> Tensor | None:
    """(B, K, K): the soft labels of both orders of each pair, 0.5 where there is no pair."""
    matrix = torch.full((len(rankings), k, k), 0.5)
    for row, ranking in enumerate(rankings):
        if ranking.preferred is None:
            return None
        first, second = torch.triu_indices(len(ranking.places), len(ranking.places), 1)
        labels = torch.tensor(ranking.preferred)
        matrix[row, first, second], matrix[row, second, first] = labels, 1 - labels
    return matrix

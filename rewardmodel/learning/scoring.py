"""Scores of images in files, and the calls of the published package."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Literal, TypeVar, get_args, overload

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from rewardmodel.learning import checkpoints
from rewardmodel.learning.data.preprocessing import UnreadableImage, normalise, read_image, to_pixels
from rewardmodel.learning.devices import device_or_default
from rewardmodel.learning.model.heads import describe_aspects
from rewardmodel.learning.model.reward import RewardModel
from rewardmodel.learning.tensor_scoring import NoAspects, Precision, PromptTruncated, TensorScorer

__all__ = [
    "ImageSkipped",
    "NoAspects",
    "Precision",
    "PromptTruncated",
    "Scorer",
    "load_scorer",
]

ImageSource = str | Path | Image.Image
OnError = Literal["raise", "nan"]
AspectAnswers = dict[str, Any]  # of an image: `alignment`, `fidelity`, and `problems` by their names
BATCH = 32
T = TypeVar("T")


class ImageSkipped(UserWarning):
    """An image could not be read and has NaN for a score; the message names it."""


@dataclass(frozen=True)
class _Encoded:
    """A batch of rows, a prompt and an image each, whose images are encoded.

    Attributes:
        rows: their numbers among all rows.
        features: (N, P, V), of each different image.
        places: which of the features each prompt is about.
    """

    rows: list[int]
    prompts: list[str]
    features: Tensor
    places: list[int]


@dataclass(frozen=True)
class HeadInputs:
    """What the reward's head sees of a prompt's K images, and the raw rewards that it makes of them.

    Attributes:
        features: (K, D) float64. The published head is one affine map of them.
        rewards: (K,) float64, in nats: the sigmoid of a margin is a probability.
    """

    features: NDArray[np.float64]
    rewards: NDArray[np.float64]


class FileScorer(TensorScorer):
    """Scores images in files or in memory, in batches; one that meets several prompts is encoded once.

    With `on_error="nan"` images that cannot be read get NaN and warn `ImageSkipped`, instead of raising
    UnreadableImage, which names the file.
    """

    @overload  # mypy: a str is a sequence of str as well, but no list of paths
    def score(self, prompt: str, image: ImageSource, *, on_error: OnError = "raise") -> float: ...  # type: ignore[overload-overlap]

    @overload
    def score(
        self, prompt: str, image: Sequence[ImageSource], *, on_error: OnError = "raise"
    ) -> list[float]: ...

    def score(
        self, prompt: str, image: ImageSource | Sequence[ImageSource], *, on_error: OnError = "raise"
    ) -> float | list[float]:
        """Score one image, or each of a list. Raises: UnreadableImage."""
        if isinstance(image, str | Path | Image.Image):
            return self.score_pairs([prompt], [image], on_error=on_error)[0]
        return self.score_pairs([prompt] * len(image), image, on_error=on_error)

    @torch.inference_mode()
    def score_pairs(
        self, prompts: Sequence[str], images: Sequence[ImageSource], *, on_error: OnError = "raise"
    ) -> list[float]:
        """Score image i for prompt i. An image that meets several prompts is read and encoded once.

        Raises: UnreadableImage; ValueError when their numbers differ.
        """
        scores = [math.nan] * len(images)
        for batch in self._encoded(prompts, images, on_error):
            rewards = self.score_features(batch.prompts, batch.features, batch.places).tolist()
            for row, score in zip(batch.rows, rewards, strict=True):
                scores[row] = score
        return scores

    def score_groups(
        self,
        prompts: Sequence[str],
        groups: Sequence[Sequence[ImageSource]],
        *,
        on_error: OnError = "raise",
    ) -> list[list[float]]:
        """Score each image of group i for prompt i. Small groups share batches. Raises as `score_pairs`."""
        repeated, images = _ungroup(prompts, groups)
        scores = iter(self.score_pairs(repeated, images, on_error=on_error))
        return [list(islice(scores, len(group))) for group in groups]

    @torch.inference_mode()
    def embed_groups(
        self, prompts: Sequence[str], groups: Sequence[Sequence[ImageSource]]
    ) -> list[HeadInputs]:
        """Return what the head sees of each image of group i with prompt i. Small groups share batches.

        Raises: UnreadableImage; ValueError when their numbers differ; TypeError for a baseline that
            has no head.
        """
        if not isinstance(self.model, RewardModel):
            raise TypeError(f"a {type(self.model).__name__} has no head that a reward is read from")
        repeated, images = _ungroup(prompts, groups)
        features, rewards = np.empty((0, 0)), np.empty(len(images))
        for batch in self._encoded(repeated, images, "raise"):
            with self._autocast():
                fused = self.model.backbone.fuse(*self._inputs(batch.prompts, batch.features, batch.places))
                rewards[batch.rows] = self.model.head(fused).double().cpu().numpy()
            if not len(features):
                features = np.empty((len(images), fused.shape[1]))
            features[batch.rows] = fused.double().cpu().numpy()
        ends = np.cumsum([len(group) for group in groups])[:-1]
        parts = zip(np.split(features, ends), np.split(rewards, ends), strict=True)
        return [HeadInputs(of_group, raw) for of_group, raw in parts] if groups else []

    @torch.inference_mode()
    def score_aspects(self, prompts: Sequence[str], images: Sequence[ImageSource]) -> list[AspectAnswers]:
        """Predict what people would say of image i for prompt i, on the aspects that the model has heads for.

        Returns: for each image, `alignment` and `fidelity`, the expected rating from 1 to 7, and `problems`,
            the probability of each by its name.
        Raises: NoAspects; UnreadableImage; ValueError when their numbers differ.
        """
        if not isinstance(self.model, RewardModel) or not self.config.aspects:
            raise NoAspects("the model has no head beside the reward's: it was trained without aspects")
        answers: list[AspectAnswers] = [{} for _ in images]
        for batch in self._encoded(prompts, images, "raise"):
            with self._autocast():
                inputs = self._inputs(batch.prompts, batch.features, batch.places)
                logits = self.model.forward_features(*inputs)[1]
            for row, answer in zip(batch.rows, describe_aspects(logits), strict=True):
                answers[row] = answer
        return answers

    def pixels(self, image: ImageSource) -> Tensor:
        """(3, H, W) uint8: what the model sees of an image. Threads may share it. Raises: UnreadableImage."""
        return to_pixels(read_image(image), self.image_input)

    def _encoded(
        self, prompts: Sequence[str], images: Sequence[ImageSource], on_error: OnError
    ) -> Iterator[_Encoded]:
        """Yield the rows whose image can be read, in batches."""
        if len(prompts) != len(images):
            raise ValueError(f"{len(prompts)} prompts for {len(images)} images")
        self._warn_truncated(prompts)
        rows: dict[str | int, list[int]] = {}  # of each different image
        for row, image in enumerate(images):
            rows.setdefault(id(image) if isinstance(image, Image.Image) else str(image), []).append(row)
        for chunk in _batches(list(rows.values())):
            pixels = [self._pixels_or_none(images[rows_of[0]], on_error) for rows_of in chunk]
            readable = [each for each in pixels if each is not None]
            if not readable:
                continue
            features = self.encode(torch.stack(readable))
            groups = [rows_of for rows_of, each in zip(chunk, pixels, strict=True) if each is not None]
            pairs = [(row, place) for place, rows_of in enumerate(groups) for row in rows_of]
            for batch in _batches(pairs):
                numbers, places = [row for row, _ in batch], [place for _, place in batch]
                yield _Encoded(numbers, [prompts[row] for row in numbers], features, places)

    def _pixels_or_none(self, image: ImageSource, on_error: OnError) -> Tensor | None:
        try:
            return self.pixels(image)
        except UnreadableImage as error:
            if on_error == "raise":
                raise
            warnings.warn(str(error), ImageSkipped, stacklevel=2)
            return None


class Scorer(FileScorer):
    """A reward model, or a baseline, with all it needs to judge an image for a prompt.

    Scores have no unit: on the validation images of the model's training their mean is 0, their deviation 1.
    Those of a baseline are as it was published.
    It is a module, and has the published package's calls, so that code written for that one runs with it.
    """

    @property
    def blip(self) -> SimpleNamespace:
        """Where code written for the published model looks for its tokenizer."""
        return SimpleNamespace(tokenizer=self.tokenizer)

    def inference_rank(
        self,
        prompt: str,
        generations_list: ImageSource | Sequence[ImageSource],
        *,
        on_error: OnError = "raise",
    ) -> tuple[list[int], list[float]]:
        """Each image's rank, 1 for the best, and its score; of equal ones the earlier ranks higher.

        Raises: UnreadableImage; without it, what cannot be read ranks last.
        """
        scores = self.score(prompt, generations_list, on_error=on_error)
        rewards = scores if isinstance(scores, list) else [scores]
        order = sorted(range(len(rewards)), key=lambda i: (math.isnan(rewards[i]), -rewards[i]))
        ranks = [0] * len(rewards)
        for rank, i in enumerate(order, start=1):
            ranks[i] = rank
        return ranks, rewards

    def score_gard(self, prompt_ids: Tensor, prompt_attention_mask: Tensor, image: Tensor) -> Tensor:
        """The published differentiable score, under its published name.

        Args:
            prompt_ids, prompt_attention_mask: (B, T) int64, what the tokenizer makes of the prompts.
            image: (B, 3, H, W), of the model's size and already normalised, as `preprocess` gives them.
        Returns: (B, 1).
        """
        tokens, mask = prompt_ids.to(self.device), prompt_attention_mask.to(self.device)
        with self._autocast():
            return self._standardise(self.model.score(tokens, mask, image))[:, None]

    def preprocess(self, image: ImageSource) -> Tensor:
        """An image as `score_gard` wants it: (3, H, W), normalised. Raises: UnreadableImage."""
        return normalise(self.pixels(image), self.image_input)


def _ungroup(
    prompts: Sequence[str], groups: Sequence[Sequence[ImageSource]]
) -> tuple[list[str], list[ImageSource]]:
    """Return a prompt for each image, and the images, group after group. Raises: ValueError."""
    if len(prompts) != len(groups):
        raise ValueError(f"{len(prompts)} prompts for {len(groups)} groups of images")
    repeated = [prompt for prompt, images in zip(prompts, groups, strict=True) for _ in images]
    return repeated, [image for group in groups for image in group]


def _batches(rows: Sequence[T]) -> Iterator[Sequence[T]]:
    return (rows[start : start + BATCH] for start in range(0, len(rows), BATCH))


def load_scorer(path_or_hub_id: str | Path, device: Any = None, precision: Precision = "float32") -> Scorer:
    """Load a checkpoint onto the device. Raises: CheckpointError; DeviceError; ValueError on no precision."""
    if precision not in get_args(Precision):
        raise ValueError(f"precision is {' or '.join(get_args(Precision))}, not {precision!r}")
    return Scorer(checkpoints.load(path_or_hub_id), device_or_default(device), precision)

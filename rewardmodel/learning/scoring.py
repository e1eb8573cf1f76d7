"""Scores of images: from files or, differentiably, from tensors."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Literal, TypeVar, get_args, overload

import torch
from PIL import Image
from torch import Tensor, nn

from rewardmodel.learning import checkpoints
from rewardmodel.learning.baselines import Baseline
from rewardmodel.learning.checkpoints.folder import Checkpoint
from rewardmodel.learning.data.preprocessing import (
    UnreadableImage,
    fit,
    normalise,
    read_image,
    to_pixels,
    tokenise,
)
from rewardmodel.learning.model.heads import RewardHead, describe_aspects
from rewardmodel.learning.model.reward import RewardModel

ImageSource = str | Path | Image.Image
OnError = Literal["raise", "nan"]
Precision = Literal["float32", "bfloat16"]
BATCH = 32
T = TypeVar("T")


class PromptTruncated(UserWarning):
    """A prompt is longer than the model reads: what lies beyond has no say in its scores."""


class ImageSkipped(UserWarning):
    """An image could not be read and has NaN for a score; the message names it."""


class NoAspects(ValueError):
    """The model has no head beside the reward's."""


class Scorer(nn.Module):
    """A reward model, or a baseline, with all it needs to judge an image for a prompt.

    Scores have no unit: on the validation images of the model's training their mean is 0, their deviation 1.
    Those of a baseline are as it was published.
    It is a module, so that code written for the published one can move, cast and freeze it.

    Wherever images are read, `on_error="nan"` gives those that cannot be read NaN and warns `ImageSkipped`,
    instead of raising UnreadableImage, which names the file.

    In bfloat16 the encoders' matrices are held and multiplied in it; all else, the head too, is float32.
    """

    def __init__(
        self, checkpoint: Checkpoint | Baseline, device: torch.device, precision: Precision = "float32"
    ) -> None:
        super().__init__()
        self.model = checkpoint.model.eval().requires_grad_(False).to(device)
        self.halved = precision == "bfloat16"
        if self.halved:
            _halve(self.model)
        self.tokenizer, self.config = checkpoint.tokenizer, checkpoint.config
        self.mean, self.std = checkpoint.config.mean, checkpoint.config.std
        self.image_input = checkpoint.config.backbone.image_input
        self._told: set[str] = set()  # prompts whose truncation was warned about

    @property
    def device(self) -> torch.device:
        """Where it computes."""
        return next(self.model.parameters()).device

    @property
    def dtype(self) -> torch.dtype:
        """What its weights are held in."""
        return next(self.model.parameters()).dtype

    @property
    def blip(self) -> SimpleNamespace:
        """Where code written for the published model looks for its tokenizer."""
        return SimpleNamespace(tokenizer=self.tokenizer)

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
        scored = self.score(prompt, generations_list, on_error=on_error)
        rewards = scored if isinstance(scored, list) else [scored]
        order = sorted(range(len(rewards)), key=lambda i: (math.isnan(rewards[i]), -rewards[i]))
        ranks = [0] * len(rewards)
        for rank, i in enumerate(order, start=1):
            ranks[i] = rank
        return ranks, rewards

    @torch.inference_mode()
    def score_pairs(
        self, prompts: Sequence[str], images: Sequence[ImageSource], *, on_error: OnError = "raise"
    ) -> list[float]:
        """Score image i for prompt i. An image that meets several prompts is read and encoded once.

        Raises: UnreadableImage; ValueError when their numbers differ.
        """
        scores = [math.nan] * len(images)
        for rows, asked, features, places in self._pairs(prompts, images, on_error):
            judged = self.score_features(asked, features, places).tolist()
            for row, score in zip(rows, judged, strict=True):
                scores[row] = score
        return scores

    @torch.inference_mode()
    def score_aspects(
        self, prompts: Sequence[str], images: Sequence[ImageSource]
    ) -> list[dict[str, float | dict[str, float]]]:
        """What people would say of image i for prompt i, of the aspects that the model has heads for.

        Returns: for each image, `alignment` and `fidelity`, the expected rating from 1 to 7, and `problems`,
            the probability of each by its name.
        Raises: NoAspects; UnreadableImage; ValueError when their numbers differ.
        """
        if not isinstance(self.model, RewardModel) or not self.config.aspects:
            raise NoAspects("the model has no head beside the reward's: it was trained without aspects")
        said: list[dict[str, float | dict[str, float]]] = [{} for _ in images]
        for rows, asked, features, places in self._pairs(prompts, images, "raise"):
            with self._autocast():
                logits = self.model.forward_features(*self._meet(asked, features, places))[1]
            for row, own in zip(rows, describe_aspects(logits), strict=True):
                said[row] = own
        return said

    def _pairs(
        self, prompts: Sequence[str], images: Sequence[ImageSource], on_error: OnError
    ) -> Iterator[tuple[list[int], list[str], Tensor, list[int]]]:
        """Batches of rows that can be read: numbers, prompts, features (N, P, V), which one each is of."""
        if len(prompts) != len(images):
            raise ValueError(f"{len(prompts)} prompts for {len(images)} images")
        self._tell_truncated(prompts)
        rows: dict[str | int, list[int]] = {}  # of each different image
        for row, image in enumerate(images):
            rows.setdefault(id(image) if isinstance(image, Image.Image) else str(image), []).append(row)
        for chunk in _batches(list(rows.values())):
            pixels = [self._pixels_or_none(images[meeting[0]], on_error) for meeting in chunk]
            whole = [each for each in pixels if each is not None]
            if not whole:
                continue
            features = self.encode(torch.stack(whole))
            readable = [meeting for meeting, each in zip(chunk, pixels, strict=True) if each is not None]
            pairs = [(row, place) for place, meeting in enumerate(readable) for row in meeting]
            for batch in _batches(pairs):
                places = [place for _, place in batch]
                yield [row for row, _ in batch], [prompts[row] for row, _ in batch], features, places

    def score_groups(
        self,
        prompts: Sequence[str],
        groups: Sequence[Sequence[ImageSource]],
        *,
        on_error: OnError = "raise",
    ) -> list[list[float]]:
        """Score each image of group i for prompt i. Small groups share batches. Raises as `score_pairs`."""
        if len(prompts) != len(groups):
            raise ValueError(f"{len(prompts)} prompts for {len(groups)} groups of images")
        asked = [prompt for prompt, images in zip(prompts, groups, strict=True) for _ in images]
        images = [image for group in groups for image in group]
        scores = iter(self.score_pairs(asked, images, on_error=on_error))
        return [list(islice(scores, len(group))) for group in groups]

    def score_tensor(self, prompts: Sequence[str], images: Tensor) -> Tensor:
        """Score image i for prompt i, differentiable with respect to the images.

        Args: images (B, 3, H, W) in 0..1, any size: fitted as a file would be, antialiased.
        Returns: (B,), what `score` gives for the same pixels; it fits in bytes, so that where images have
            another size than the model's the two differ by rounding (0.002 at 512 px).
        Raises: ValueError when there is not one image a prompt.
        """
        if images.ndim != 4 or images.shape[1] != 3 or len(images) != len(prompts):
            raise ValueError(f"{len(prompts)} prompts, images {list(images.shape)}, not (B, 3, H, W)")
        self._tell_truncated(prompts)
        return self.score_features(prompts, self.encode(fit(images, self.image_input)))

    def score_gard(self, prompt_ids: Tensor, prompt_attention_mask: Tensor, image: Tensor) -> Tensor:
        """The published differentiable score, under its published name.

        Args:
            prompt_ids, prompt_attention_mask: (B, T) int64, what the tokenizer makes of the prompts.
            image: (B, 3, H, W), of the model's size and already normalised, as `preprocess` gives them.
        Returns: (B, 1).
        """
        tokens, mask = prompt_ids.to(self.device), prompt_attention_mask.to(self.device)
        with self._autocast():
            return self._reward(self.model.score(tokens, mask, image))[:, None]

    def preprocess(self, image: ImageSource) -> Tensor:
        """An image as `score_gard` wants it: (3, H, W), normalised. Raises: UnreadableImage."""
        return normalise(self.pixels(image), self.image_input)

    def pixels(self, image: ImageSource) -> Tensor:
        """(3, H, W) uint8: what the model sees of an image. Threads may share it. Raises: UnreadableImage."""
        return to_pixels(read_image(image), self.image_input)

    @torch.inference_mode()
    def score_pixels(self, prompts: Sequence[str], pixels: Sequence[Tensor]) -> list[float]:
        """Score image i, from `pixels`, for prompt i, all in one batch."""
        return self.score_features(prompts, self.encode(torch.stack(list(pixels)))).tolist()

    def encode(self, images: Tensor) -> Tensor:
        """Image features, for `score_features`: (B, 3, H, W) of its size, uint8 or in 0..1 -> (B, P, V)."""
        with self._autocast():
            return self.model.encode(normalise(images.to(self.device), self.image_input).to(self.dtype))

    def score_features(
        self, prompts: Sequence[str], features: Tensor, places: Sequence[int] | None = None
    ) -> Tensor:
        """Score image i, by what `encode` made of it, for prompt i: a small part of the work -> (B,).

        Args: places: for prompt i, which of the features it is about, where prompts share images.
        """
        with self._autocast():
            return self._reward(self.model.score_features(*self._meet(prompts, features, places)))

    def _meet(
        self, prompts: Sequence[str], features: Tensor, places: Sequence[int] | None
    ) -> tuple[Tensor, Tensor, Tensor, Tensor | None]:
        """What `judge` takes: tokens, mask, features, and where prompts share these, which is whose."""
        tokens, mask = tokenise(self.tokenizer, prompts, self.config.max_tokens)
        rows = None
        if places is not None and len(places) > len(features):
            rows = torch.tensor(places, device=self.device)
        elif places is not None:
            features = features[list(places)]
        return tokens.to(self.device), mask.to(self.device), features, rows

    def lost(self, prompts: Sequence[str]) -> list[int]:
        """How many word pieces of each prompt lie beyond the most that the model reads.

        Only one thread at a time: the tokenizer is not made for several.
        """
        if not prompts:
            return []
        whole = self.tokenizer(list(prompts), verbose=False)["input_ids"]
        return [max(0, len(pieces) - self.config.max_tokens) for pieces in whole]

    def truncated(self, prompts: Sequence[str]) -> list[bool]:
        """Whether the model reads only the beginning of each prompt. One thread at a time."""
        return [pieces > 0 for pieces in self.lost(prompts)]

    def _pixels_or_none(self, image: ImageSource, on_error: OnError) -> Tensor | None:
        try:
            return self.pixels(image)
        except UnreadableImage as error:
            if on_error == "raise":
                raise
            warnings.warn(str(error), ImageSkipped, stacklevel=2)
            return None

    def _tell_truncated(self, prompts: Sequence[str]) -> None:
        """Warn of each prompt that is not read to its end, once."""
        fresh = [prompt for prompt in dict.fromkeys(prompts) if prompt not in self._told]
        for prompt, pieces in zip(fresh, self.lost(fresh), strict=True):
            if pieces:
                self._told.add(prompt)
                message = f"the last {pieces} word pieces are not read of the prompt {prompt!r}"
                warnings.warn(message, PromptTruncated, stacklevel=2)

    def _reward(self, raw: Tensor) -> Tensor:
        return (raw - self.mean) / self.std

    def _autocast(self) -> torch.autocast:
        return torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=self.halved)


def _halve(model: nn.Module) -> None:
    """Hold the encoders' matrices in bfloat16: autocast would cast them anew at each call."""
    heads = [head for head in model.modules() if isinstance(head, RewardHead)]
    wide = {part for head in heads for part in head.modules()}
    for module in model.modules():
        if isinstance(module, nn.Linear | nn.Conv2d) and module not in wide:
            module.to(torch.bfloat16)


def _batches(rows: Sequence[T]) -> Iterator[Sequence[T]]:
    return (rows[start : start + BATCH] for start in range(0, len(rows), BATCH))


def load_scorer(path_or_hub_id: str | Path, device: Any = None, precision: Precision = "float32") -> Scorer:
    """Read a checkpoint and put it on the device. Raises: CheckpointError; ValueError on no precision."""
    if precision not in get_args(Precision):
        raise ValueError(f"precision is {' or '.join(get_args(Precision))}, not {precision!r}")
    return Scorer(checkpoints.load(path_or_hub_id), device_or_default(device), precision)


def device_or_default(device: Any = None) -> torch.device:
    """The device named; without one, a GPU if there is one."""
    if device is None:
        device = "cuda" if torch.cuda.is_available() else "cpu"
    return torch.device(device)

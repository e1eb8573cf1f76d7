"""Scores of images: from files or, differentiably, from tensors."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import Any, overload

import torch
from PIL import Image
from torch import Tensor

from rewardmodel.learning import checkpoints
from rewardmodel.learning.checkpoints import Checkpoint
from rewardmodel.learning.preprocessing import fit, normalise, read_image, to_pixels, tokenise

ImageSource = str | Path | Image.Image
BATCH = 32


class Scorer:
    """A reward model with all it needs to judge an image for a prompt.

    Scores have no unit: on the validation images of the model's training their mean is 0, their deviation 1.
    """

    def __init__(self, checkpoint: Checkpoint, device: torch.device) -> None:
        self.model = checkpoint.model.eval().requires_grad_(False).to(device)
        self.tokenizer, self.config, self.device = checkpoint.tokenizer, checkpoint.config, device
        self.image_size = checkpoint.config.backbone.vision.image_size

    @overload  # mypy: a str is a sequence of str as well, but no list of paths
    def score(self, prompt: str, images: ImageSource) -> float: ...  # type: ignore[overload-overlap]

    @overload
    def score(self, prompt: str, images: Sequence[ImageSource]) -> list[float]: ...

    def score(self, prompt: str, images: ImageSource | Sequence[ImageSource]) -> float | list[float]:
        """Score one image, or each of a list. Raises: UnreadableImage naming the file."""
        if isinstance(images, str | Path | Image.Image):
            return self.score_pairs([prompt], [images])[0]
        return self.score_pairs([prompt] * len(images), images)

    def inference_rank(self, prompt: str, images: Sequence[ImageSource]) -> tuple[list[int], list[float]]:
        """Each image's rank, 1 for the best, and its score. Raises: UnreadableImage."""
        rewards = self.score_pairs([prompt] * len(images), images)
        order = sorted(range(len(rewards)), key=lambda i: -rewards[i])
        ranks = [0] * len(rewards)
        for rank, i in enumerate(order, start=1):
            ranks[i] = rank
        return ranks, rewards

    def score_pairs(self, prompts: Sequence[str], images: Sequence[ImageSource]) -> list[float]:
        """Score image i for prompt i. Raises: UnreadableImage; ValueError when their numbers differ."""
        if len(prompts) != len(images):
            raise ValueError(f"{len(prompts)} prompts for {len(images)} images")
        scores: list[float] = []
        for start in range(0, len(images), BATCH):
            pixels = [self.pixels(image) for image in images[start : start + BATCH]]
            scores += self.score_pixels(prompts[start : start + BATCH], pixels)
        return scores

    def pixels(self, image: ImageSource) -> Tensor:
        """(3, H, W) uint8: what the model sees of an image. Threads may share it. Raises: UnreadableImage."""
        return to_pixels(read_image(image), self.image_size)

    @torch.inference_mode()
    def score_pixels(self, prompts: Sequence[str], pixels: Sequence[Tensor]) -> list[float]:
        """Score image i, from `pixels`, for prompt i, all in one batch."""
        return self._score(prompts, normalise(torch.stack(list(pixels)).to(self.device))).tolist()

    def truncated(self, prompts: Sequence[str]) -> list[bool]:
        """Whether the model reads only the beginning of each prompt: it has too many tokens.

        Only one thread at a time: the tokenizer is not made for several.
        """
        return [len(tokens) > self.config.max_tokens for tokens in self.tokenizer(list(prompts))["input_ids"]]

    def score_groups(
        self, prompts: Sequence[str], groups: Sequence[Sequence[ImageSource]]
    ) -> list[list[float]]:
        """Score each image of group i for prompt i. Small groups share batches. Raises as `score_pairs`."""
        asked = [prompt for prompt, images in zip(prompts, groups, strict=True) for _ in images]
        scores = iter(self.score_pairs(asked, [image for images in groups for image in images]))
        return [list(islice(scores, len(images))) for images in groups]

    def score_tensor(self, prompts: Sequence[str], images: Tensor) -> Tensor:
        """Score image i for prompt i, differentiable with respect to the images.

        Args: images (B, 3, H, W) in 0..1, any size: fitted as a file would be, antialiased.
        Returns: (B,), what `score` gives for the same pixels.
        Raises: ValueError when there is not one image a prompt.
        """
        if images.ndim != 4 or images.shape[1] != 3 or len(images) != len(prompts):
            raise ValueError(f"{len(prompts)} prompts, images {list(images.shape)}, not (B, 3, H, W)")
        return self._score(prompts, normalise(fit(images, self.image_size)))

    def _score(self, prompts: Sequence[str], images: Tensor) -> Tensor:
        tokens, mask = tokenise(self.tokenizer, prompts, self.config.max_tokens)
        raw = self.model.score(tokens.to(self.device), mask.to(self.device), images)
        return (raw - self.config.mean) / self.config.std


def load_scorer(path_or_hub_id: str | Path, device: Any = None) -> Scorer:
    """Read a checkpoint and put it on the device; without one named, on a GPU if there is one.

    Raises: CheckpointError.
    """
    if device is None:
        device = "cuda" if torch.cuda.is_available() else "cpu"
    return Scorer(checkpoints.load(path_or_hub_id), torch.device(device))

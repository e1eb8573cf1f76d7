"""Scores of images that are tensors already: pixels, features of them, or what gradients are to reach."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from rewardmodel.learning.baselines import Baseline
from rewardmodel.learning.checkpoints.folder import Checkpoint
from rewardmodel.learning.data.preprocessing import fit, normalise, tokenise
from rewardmodel.learning.model.heads import ArtifactHead, RewardHead, aspect_score
from rewardmodel.learning.model.reward import RewardModel

Precision = Literal["float32", "bfloat16"]


class PromptTruncated(UserWarning):
    """A prompt is longer than the model reads: what lies beyond has no say in its scores."""


class NoAspects(ValueError):
    """The model has no head beside the reward's, or none for what is asked."""


class TensorScorer(nn.Module):
    """A reward model, or a baseline, with its tokenizer and the mean and deviation of its rewards.

    In bfloat16 the encoders' matrices are held and multiplied in it; all else, the head too, is float32.
    """

    def __init__(
        self, checkpoint: Checkpoint | Baseline, device: torch.device, precision: Precision = "float32"
    ) -> None:
        super().__init__()
        self.model = checkpoint.model.eval().requires_grad_(False).to(device)
        self.mixed_precision = precision == "bfloat16"
        if self.mixed_precision:
            _cast_encoders(self.model)
        self.tokenizer, self.config = checkpoint.tokenizer, checkpoint.config
        self.mean, self.std = checkpoint.config.mean, checkpoint.config.std
        self.image_input = checkpoint.config.backbone.image_input
        self._warned_of: set[str] = set()  # prompts, that they are truncated

    @property
    def device(self) -> torch.device:
        """Where it computes."""
        return next(self.model.parameters()).device

    @property
    def dtype(self) -> torch.dtype:
        """The dtype of its weights."""
        return next(self.model.parameters()).dtype

    def score_tensor(self, prompts: Sequence[str], images: Tensor) -> Tensor:
        """Score image i for prompt i, differentiable with respect to the images.

        Args: images (B, 3, H, W) in 0..1, any size: fitted as a file would be, antialiased.
        Returns: (B,), what `score` gives for the same pixels; it fits in bytes, so that where images have
            another size than the model's the two differ by rounding (0.002 at 512 px).
        Raises: ValueError when there is not one image a prompt.
        """
        return self.score_features(prompts, self._fitted_features(prompts, images))

    def score_aspect(self, aspect: str, prompts: Sequence[str], images: Tensor) -> Tensor:
        """Score image i for prompt i on one aspect, differentiable with respect to the images.

        Args: images: as `score_tensor` has them.
        Returns: (B,), higher is better: the expected rating of 1 to 7; of problems, minus how many of the
            seven to expect. Normalised as rewards are: 0 and 1 are mean and deviation on the validation
            images of the model's training. Where the checkpoint knows no `aspect_scale`, as it is.
        Raises: NoAspects; ValueError as `score_tensor`.
        """
        if not isinstance(self.model, RewardModel) or aspect not in self.config.aspects:
            raise NoAspects(f"the model has no head for {aspect}: it was trained without")
        inputs = self._inputs(prompts, self._fitted_features(prompts, images), None)
        with self._autocast():
            logits = self.model.forward_features(*inputs)[1][aspect]
        mean, std = self.aspect_scale(aspect) or (0.0, 1.0)
        return (aspect_score(aspect, logits.float()) - mean) / std

    def aspect_scale(self, aspect: str) -> tuple[float, float] | None:
        """Mean and deviation of an aspect's score; None where the checkpoint is older than they are."""
        return self.config.aspect_scales.get(aspect)

    def _fitted_features(self, prompts: Sequence[str], images: Tensor) -> Tensor:
        """(B, 3, H, W) in 0..1, any size -> (B, P, V), of `encode`. Raises: ValueError."""
        if images.ndim != 4 or images.shape[1] != 3 or len(images) != len(prompts):
            raise ValueError(f"{len(prompts)} prompts, images {list(images.shape)}, not (B, 3, H, W)")
        self._warn_truncated(prompts)
        return self.encode(fit(images, self.image_input))

    @torch.inference_mode()
    def score_pixels(self, prompts: Sequence[str], pixels: Sequence[Tensor]) -> list[float]:
        """Score image i, (3, H, W) uint8 of the model's size, for prompt i, all in one batch."""
        return self.score_features(prompts, self.encode(torch.stack(list(pixels)))).tolist()

    def encode(self, images: Tensor) -> Tensor:
        """Image features, for `score_features`: (B, 3, H, W) of its size, uint8 or in 0..1 -> (B, P, V)."""
        with self._autocast():
            return self.model.encode(normalise(images.to(self.device), self.image_input).to(self.dtype))

    def score_features(
        self, prompts: Sequence[str], features: Tensor, places: Sequence[int] | None = None
    ) -> Tensor:
        """Score image i, by its features of `encode`, for prompt i: a small part of the work -> (B,).

        Args: places: for prompt i, which of the features it is about, where prompts share images.
        """
        with self._autocast():
            return self._standardise(self.model.score_features(*self._inputs(prompts, features, places)))

    def lost(self, prompts: Sequence[str]) -> list[int]:
        """How many word pieces of each prompt lie beyond the most that the model reads.

        Only one thread at a time: the tokenizer is not made for several.
        """
        if not prompts:
            return []
        encoded = self.tokenizer(list(prompts), verbose=False)["input_ids"]
        return [max(0, len(pieces) - self.config.max_tokens) for pieces in encoded]

    def truncated(self, prompts: Sequence[str]) -> list[bool]:
        """Whether the model reads only the beginning of each prompt. One thread at a time."""
        return [pieces > 0 for pieces in self.lost(prompts)]

    def _inputs(
        self, prompts: Sequence[str], features: Tensor, places: Sequence[int] | None
    ) -> tuple[Tensor, Tensor, Tensor, Tensor | None]:
        """Arguments of `RewardModel.score_features`: tokens, mask, features, and rows if they are shared."""
        tokens, mask = tokenise(self.tokenizer, prompts, self.config.max_tokens)
        rows = None
        if places is not None and len(places) > len(features):
            rows = torch.tensor(places, device=self.device)
        elif places is not None:
            features = features[list(places)]
        return tokens.to(self.device), mask.to(self.device), features, rows

    def _warn_truncated(self, prompts: Sequence[str]) -> None:
        """Warn of each prompt that is not read to its end, once."""
        fresh = [prompt for prompt in dict.fromkeys(prompts) if prompt not in self._warned_of]
        for prompt, pieces in zip(fresh, self.lost(fresh), strict=True):
            if pieces:
                self._warned_of.add(prompt)
                message = f"the last {pieces} word pieces are not read of the prompt {prompt!r}"
                warnings.warn(message, PromptTruncated, stacklevel=2)

    def _standardise(self, rewards: Tensor) -> Tensor:
        return (rewards - self.mean) / self.std

    def _autocast(self) -> torch.autocast:
        return torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=self.mixed_precision)


def _cast_encoders(model: nn.Module) -> None:
    """Hold the encoders' matrices in bfloat16: autocast would cast them anew at each call."""
    heads = [head for head in model.modules() if isinstance(head, RewardHead | ArtifactHead)]
    in_heads = {part for head in heads for part in head.modules()}
    for module in model.modules():
        if isinstance(module, nn.Linear | nn.Conv2d) and module not in in_heads:
            module.to(torch.bfloat16)

"""The scorers that the paper compares ImageReward with: CLIP, BLIP and Aesthetic.

Each is a model that a Scorer can use. Letters: N rows, T tokens, D the width in which image and text meet.
Sources: ImageReward, arXiv 2304.05977, Table 3; CLIP, 2103.00020; BLIP, 2201.12086;
christophschuhmann/improved-aesthetic-predictor; LAION-AI/aesthetic-predictor.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch.nn.functional as F
from torch import Tensor, nn

from rewardmodel.learning import checkpoints
from rewardmodel.learning.checkpoints import downloads
from rewardmodel.learning.checkpoints.folder import Checkpoint, CheckpointConfig
from rewardmodel.learning.checkpoints.weights import load_state_dict, read_weights
from rewardmodel.learning.errors import CheckpointError
from rewardmodel.learning.model.backbones.blip import Blip
from rewardmodel.learning.model.backbones.dual import Clip
from rewardmodel.learning.model.heads import HeadConfig, RewardHead, SimilarityHead
from rewardmodel.learning.model.reward import RewardModel

ANY_LENGTH = 1 << 30  # tokens of a prompt that nobody looks at: none is too long


class BlipCosine(nn.Module):
    """How close BLIP's two projections put an image and its prompt, each encoded by itself: -1 to 1."""

    def __init__(self, blip: Blip) -> None:
        super().__init__()
        self.blip = blip

    def encode(self, images: Tensor) -> Tensor:
        """(N, 3, H, W) normalised -> (N, 1, D), of length 1."""
        cls = self.blip.visual_encoder(images)[:, :1]  # (N, P, V) -> (N, 1, V): the class token
        return F.normalize(self.blip.vision_proj(cls), dim=-1)

    def score_features(
        self, tokens: Tensor, mask: Tensor, features: Tensor, rows: Tensor | None = None
    ) -> Tensor:
        """tokens, mask (N, T), features (N, 1, D) of `encode` -> (N,); `rows` as RewardModel has it."""
        if rows is not None:
            features = features[rows]
        cls = self.blip.text_encoder(tokens, mask, None)[:, 0]  # (N, width of the text encoder)
        return (F.normalize(self.blip.text_proj(cls), dim=-1) * features[:, 0]).sum(dim=-1)

    def score(self, tokens: Tensor, mask: Tensor, images: Tensor) -> Tensor:
        """tokens, mask (N, T), images (N, 3, H, W) normalised -> (N,)."""
        return self.score_features(tokens, mask, self.encode(images))


class LinearHead(nn.Linear):
    """One linear layer: LAION's first aesthetic predictor."""

    def __init__(self, width: int) -> None:
        super().__init__(width, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(N, D) -> (N,)."""
        return super().forward(x).squeeze(-1)


class Aesthetic(nn.Module):
    """How people would rate an image, about 1 to 10: an affine map of CLIP's view of it, whatever the prompt.

    Its head has the form that ImageReward's took over, or is one linear layer.
    """

    def __init__(self, dual: Clip, *, linear: bool = False) -> None:
        super().__init__()
        self.dual = dual
        width = dual.visual_projection.out_features
        self.head = LinearHead(width) if linear else RewardHead(HeadConfig(), width)

    def encode(self, images: Tensor) -> Tensor:
        """(N, 3, H, W) normalised -> (N, 1, D), of length 1."""
        return F.normalize(self.dual.encode(images), dim=-1)

    def score_features(
        self, tokens: Tensor, mask: Tensor, features: Tensor, rows: Tensor | None = None
    ) -> Tensor:
        """features (N, 1, D) of `encode` -> (N,), `rows` as RewardModel has it; the text changes nothing."""
        return self.head((features if rows is None else features[rows])[:, 0])

    def score(self, tokens: Tensor, mask: Tensor, images: Tensor) -> Tensor:
        """images (N, 3, H, W) normalised -> (N,)."""
        return self.score_features(tokens, mask, self.encode(images))


@dataclass(frozen=True)
class Baseline:
    """A model that others trained, with what a Scorer needs beside it, as a Checkpoint has it."""

    model: RewardModel | BlipCosine | Aesthetic
    tokenizer: Any
    config: CheckpointConfig


def load_baseline(name: str, root: str | Path | None = None) -> Baseline:
    """Load a baseline strictly from the root, or fetch it. Raises: CheckpointError."""
    readers = {"CLIP": _clip, "BLIP": _blip, "Aesthetic": _aesthetic}
    if name not in readers:
        raise CheckpointError(f"no scorer {name!r}; there are {', '.join(readers)}")
    return readers[name](root)


def _clip(root: str | Path | None) -> Baseline:
    """The bare cosine: what CLIP was trained by, its scale taken out."""
    checkpoint = _read_clip(root)
    scale = cast(SimilarityHead, checkpoint.model.head).logit_scale.exp().item()
    return Baseline(checkpoint.model, checkpoint.tokenizer, dataclasses.replace(checkpoint.config, std=scale))


def _blip(root: str | Path | None) -> Baseline:
    file = downloads.fetch_baseline("BLIP", root)
    checkpoint = checkpoints.load(file)
    if getattr(checkpoint.config.backbone, "projection", None) is None:
        raise CheckpointError(f"{file}: another model: missing vision_proj and text_proj")
    return Baseline(
        BlipCosine(cast(Blip, checkpoint.model.backbone)), checkpoint.tokenizer, checkpoint.config
    )


def _aesthetic(root: str | Path | None) -> Baseline:
    file = downloads.fetch_baseline("Aesthetic", root)
    checkpoint = _read_clip(root)
    weights = read_weights(file).tensors
    model = Aesthetic(cast(Clip, checkpoint.model.backbone), linear=set(weights) == {"weight", "bias"})
    load_state_dict(model.head, weights, source=file)
    return Baseline(
        model.eval(), checkpoint.tokenizer, dataclasses.replace(checkpoint.config, max_tokens=ANY_LENGTH)
    )


def _read_clip(root: str | Path | None) -> Checkpoint:
    folder = downloads.fetch_clip(root)
    checkpoint = checkpoints.load(folder)
    if not hasattr(checkpoint.model.backbone, "visual_projection"):
        raise CheckpointError(f"{folder}: a {checkpoint.config.backbone.kind} model, not CLIP")
    return checkpoint

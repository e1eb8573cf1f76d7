"""Shapes of encoders, and of the images they take; plain values, no torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class ImageInput:
    """How a model takes images: their size in pixels, square, how they are fitted and normalised.

    Defaults: CLIP's, which BLIP took over.
    """

    size: int = 224
    mean: tuple[float, ...] = (0.48145466, 0.4578275, 0.40821073)  # of red, green, blue in 0..1
    std: tuple[float, ...] = (0.26862954, 0.26130258, 0.27577711)
    # crop: the short side fitted, the edges of the long one lost; squash: both sides fitted, shapes distorted
    fit: Literal["crop", "squash"] = "crop"


@dataclass(frozen=True)
class VisionConfig:
    """A ViT with a class token. Defaults: the small half of BLIP, ViT-B/16 at 224 pixels."""

    image_size: int = 224
    patch: int = 16
    width: int = 768
    layers: int = 12
    heads: int = 12
    feed_forward: int = 3072
    drop_path: float = 0.0  # of the last block; it grows linearly from 0 at the first
    norm_eps: float = 1e-6

    @property
    def tokens(self) -> int:
        """Patches of an image, and the class token before them."""
        return (self.image_size // self.patch) ** 2 + 1


@dataclass(frozen=True)
class TextConfig:
    """A BERT whose layers also attend to the image. Defaults: BLIP's med_config."""

    vocabulary: int = 30524
    positions: int = 512
    width: int = 768
    layers: int = 12
    heads: int = 12
    feed_forward: int = 3072
    dropout: float = 0.1
    attention_dropout: float = 0.1
    norm_eps: float = 1e-12
    padding_token: int = 0

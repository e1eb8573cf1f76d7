"""Shapes of the encoders; plain values, no torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal


@dataclass(frozen=True)
class ImageInput:
    """What a model wants to see of an image: so many pixels square, so fitted, so normalised.

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


@dataclass(frozen=True)
class HeadConfig:
    """Linear layers without activations between them; dropout after all hidden ones but the last."""

    hidden: tuple[int, ...] = (1024, 128, 64, 16)
    dropout: tuple[float, ...] = (0.2, 0.2, 0.1)

    def __post_init__(self) -> None:
        if len(self.dropout) != len(self.hidden) - 1:
            raise ValueError(f"{len(self.hidden)} hidden layers want {len(self.hidden) - 1} dropout rates")


@dataclass(frozen=True)
class BlipConfig:
    """BLIP and the head on it. Default: ViT-B/16, as `model_base.pth` has it.

    Sources: BLIP's configs; ImageReward's published head.
    """

    vision: VisionConfig = field(default_factory=VisionConfig)
    text: TextConfig = field(default_factory=TextConfig)
    head: HeadConfig = field(default_factory=HeadConfig)
    projection: int | None = None  # width of the two projections that no reward uses; kept if a file has them
    kind: Literal["blip"] = "blip"

    @property
    def image_input(self) -> ImageInput:
        return ImageInput(self.vision.image_size)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> BlipConfig:
        """Read what `dataclasses.asdict` wrote. Raises: TypeError or KeyError on a wrong field."""
        made = {
            "vision": VisionConfig(**values["vision"]),
            "text": TextConfig(**values["text"]),
            "head": HeadConfig(**{name: tuple(rates) for name, rates in values["head"].items()}),
        }
        return cls(**{**values, **made})


def blip_vit_large() -> BlipConfig:
    """BLIP with ViT-L/16, as `model_large.pth` and `ImageReward.pt` have it."""
    vision = VisionConfig(width=1024, layers=24, heads=16, feed_forward=4096, drop_path=0.1)
    return BlipConfig(vision=vision, projection=256)


@dataclass(frozen=True)
class DualConfig:
    """An image and a text encoder that meet in a cosine: CLIP or SigLIP, as transformers builds them."""

    settings: Mapping[str, Any]  # transformers' config of the model
    image_input: ImageInput
    kind: Literal["clip", "siglip"]

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> DualConfig:
        """Read what `dataclasses.asdict` wrote. Raises: TypeError or KeyError on a wrong field."""
        seen = values["image_input"]
        pair = {"mean": tuple(seen["mean"]), "std": tuple(seen["std"])}
        return cls(**{**values, "image_input": ImageInput(**{**seen, **pair})})


def backbone_from_dict(values: Mapping[str, Any]) -> BlipConfig | DualConfig:
    """The config of whichever kind it names; BLIP's where none is named.

    Raises: TypeError or KeyError on a wrong field; ValueError on an unknown kind.
    """
    kind = values.get("kind", "blip")  # the first checkpoints did not say it
    if kind not in ("blip", "clip", "siglip"):
        raise ValueError(f"no backbone {kind!r}; there are blip, clip and siglip")
    return BlipConfig.from_dict(values) if kind == "blip" else DualConfig.from_dict(values)

"""What a reward model is built from, and what configures a run that trains one."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


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
class BackboneConfig:
    """The shape of a reward model. Default: BLIP with ViT-B/16, as `model_base.pth` has it.

    Sources: BLIP's configs; ImageReward's published head.
    """

    vision: VisionConfig = field(default_factory=VisionConfig)
    text: TextConfig = field(default_factory=TextConfig)
    head: HeadConfig = field(default_factory=HeadConfig)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> BackboneConfig:
        """Read what `dataclasses.asdict` wrote. Raises: TypeError on an unknown field."""
        head = values["head"]
        if set(values) != {"vision", "text", "head"}:
            raise TypeError(f"a backbone has vision, text and head, not {', '.join(values)}")
        return cls(
            vision=VisionConfig(**values["vision"]),
            text=TextConfig(**values["text"]),
            head=HeadConfig(**{name: tuple(rates) for name, rates in head.items()}),
        )


def blip_vit_large() -> BackboneConfig:
    """BLIP with ViT-L/16, as `model_large.pth` and `ImageReward.pt` have it."""
    vision = VisionConfig(width=1024, layers=24, heads=16, feed_forward=4096, drop_path=0.1)
    return BackboneConfig(vision=vision)


@dataclass(frozen=True)
class RewardConfig:
    """Everything that configures one training run; stored with it. `RewardConfig(**stored)` reads it back.

    Defaults are the paper's optimum (ImageReward, appendix: 4 GPUs x 16 pairs) unless marked ours.
    """

    learning_rate: float = 1e-5
    batch_pairs: int = 64
    epochs: int = 10
    validations_per_epoch: int = 4
    fix_rate: float = 0.7
    warmup: float = 0.0  # share of all steps
    beta1: float = 0.9
    beta2: float = 0.999
    epsilon: float = 1e-8
    max_tokens: int = 35
    seed: int = 1234
    soft_labels: bool = False  # ours: learn the dataset's probability of each pair, not who won it
    micro_batch_images: int = 64  # ours: bounds memory, changes no number but by rounding
    checkpoint_every: int = 200  # ours, in steps
    image_cache_bytes: int = 2 << 30  # ours: decoded images kept in memory

    def __post_init__(self) -> None:
        for each in dataclasses.fields(self):
            value = getattr(self, each.name)
            if each.type == "int" and type(value) is not int:
                raise ValueError(f"{each.name} must be a whole number, is {value!r}")
            if each.type == "bool" and type(value) is not bool:
                raise ValueError(f"{each.name} must be true or false, is {value!r}")
        positive = ("learning_rate", "batch_pairs", "epochs", "validations_per_epoch", "micro_batch_images")
        for name in (*positive, "checkpoint_every", "epsilon"):
            if getattr(self, name) <= 0:
                raise ValueError(f"{name} must be above 0, is {getattr(self, name)}")
        for name in ("fix_rate", "warmup"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} must be from 0 to 1, is {getattr(self, name)}")
        for name in ("beta1", "beta2"):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(f"{name} must be from 0 up to 1, is {getattr(self, name)}")
        if self.max_tokens < 3:
            raise ValueError(f"max_tokens must leave room for a word, is {self.max_tokens}")
        if self.image_cache_bytes < 0:
            raise ValueError(f"image_cache_bytes cannot be negative, is {self.image_cache_bytes}")

    def to_dict(self) -> dict[str, Any]:
        """Fields and values, fit for JSON."""
        return dataclasses.asdict(self)

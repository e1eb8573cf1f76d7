"""What configures a run that trains a reward model."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any


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

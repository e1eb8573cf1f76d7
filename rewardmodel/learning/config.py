"""What configures a run that trains a reward model."""

from __future__ import annotations

import dataclasses
import json
import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from rewardmodel.learning.model import aspects

# Ranges of fields: their wording, their check, and the fields.
_RANGES: dict[str, tuple[Callable[[float], bool], tuple[str, ...]]] = {
    "above 0": (
        lambda value: value > 0,
        (
            "learning_rate",
            "batch_pairs",
            "epochs",
            "validations_per_epoch",
            "epsilon",
            "micro_batch_images",
            "checkpoint_every",
            "tie_parameter",
            "lora_alpha",
            "aspect_weight",
        ),
    ),
    "0 or more": (
        lambda value: value >= 0,
        ("pixel_cache_bytes", "boundary_cache_bytes", "slot_margin", "lora_rank"),
    ),
    "above 0 and at most 1": (lambda value: 0 < value <= 1, ("train_share",)),
    "from 0 to 1": (lambda value: 0 <= value <= 1, ("fix_rate", "warmup", "most_unreadable")),
    "from 0 up to 1": (lambda value: 0 <= value < 1, ("beta1", "beta2", "ema")),
    "3 or more, to leave room for a word": (lambda value: value >= 3, ("max_tokens",)),
}
_CHOICES = {
    "ties": ("left_out", "fixed", "learned"),
    "precision": ("float32", "bfloat16"),
    "unreadable_images": ("refuse", "drop"),
}


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
    train_share: float = 1.0  # ours: of the training rankings, for a learning curve; smaller within larger
    soft_labels: bool = False  # ours: learn the dataset's probability of each pair, not who won it
    ties: str = "left_out"  # ours: or "fixed" or "learned", Davidson's model with that kind of tie parameter
    tie_parameter: float = 0.5  # ours: nu, which a learned one starts from
    slot_margin: float = 0.0  # ours: how much further apart rewards must be for each further slot between
    aspects: tuple[str, ...] = ()  # ours: what heads beside the reward's learn: alignment, fidelity, problems
    aspect_weight: float = 0.25  # ours: how many pairs one image's answer on one aspect weighs
    ema: float = 0.0  # ours: decay of a running average of the weights, which is kept in their place; 0: none
    lora_rank: int = 0  # ours: train adapters of this rank in place of the encoders' weights; 0: the weights
    lora_alpha: float = 16.0  # ours: adapters weigh alpha / rank
    unreadable_images: str = "drop"  # ours: the rankings that have one, and count them; or "refuse" the run
    most_unreadable: float = 0.1  # ours: share of the images; of more, the run is refused all the same
    micro_batch_images: int = 64  # ours: bounds memory, changes no number but by rounding
    checkpoint_every: int = 200  # ours, in steps
    pixel_cache_bytes: int = 32 << 30  # ours: decoded and fitted images, kept on disk; 0 for no
    recompute: bool = False  # ours: run layers again in the backward pass, which takes less memory, more time
    precision: str = "float32"  # ours: "bfloat16" for the matrix products
    frozen_drop_path: bool = True  # False is ours: none in blocks that do not train, so that they run once
    boundary_cache_bytes: int = 32 << 30  # ours: what frozen blocks made of images, kept on disk; 0 for no

    def __post_init__(self) -> None:
        for each in dataclasses.fields(self):
            check_type(each.name, each.type, getattr(self, each.name))
        for allowed, (fits, names) in _RANGES.items():
            for name in names:
                if not fits(getattr(self, name)):
                    raise ValueError(f"{name} must be {allowed}, is {getattr(self, name)}")
        for name, choices in _CHOICES.items():
            if getattr(self, name) not in choices:
                raise ValueError(f"{name} must be {' or '.join(choices)}, is {getattr(self, name)}")
        object.__setattr__(self, "aspects", aspects.validate(self.aspects))  # JSON has no tuples
        if self.soft_labels and (self.ties != "left_out" or self.slot_margin):
            raise ValueError(
                "soft_labels say how likely each pair is: they go with neither ties nor slot_margin"
            )

    def to_dict(self) -> dict[str, Any]:
        """Fields and values, fit for JSON."""
        return {**dataclasses.asdict(self), "aspects": list(self.aspects)}


def check_type(name: str, kind: object, value: object) -> None:
    """Check a field of a configuration by its annotation; a whole number may stand for any number.

    Raises: ValueError where the value is not of the field's type, or a number that no column holds.
    """
    if kind == "int" and type(value) is not int:
        raise ValueError(f"{name} must be a whole number, is {value!r}")
    if kind == "bool" and type(value) is not bool:
        raise ValueError(f"{name} must be true or false, is {value!r}")
    if kind == "float" and not is_number(value):
        raise ValueError(f"{name} must be a number, is {value!r}")
    if kind == "int" and not is_number(value):
        raise ValueError(f"{name} must lie within the whole numbers of 64 bits")


def is_number(value: object) -> bool:
    """Whether it is a finite number, and a whole one no longer than 64 bits; true and false are none."""
    if type(value) is int:
        return -(2**63) <= value < 2**63
    return type(value) is float and math.isfinite(value)


def parse_value(text: str) -> Any:
    """Return a field's value as command lines give it: a lower-case word, or JSON. Raises: ValueError."""
    is_word = re.fullmatch("[a-z][a-z0-9_]*", text) and text not in ("true", "false", "null")
    return text if is_word else json.loads(text)

"""What somebody published, under our names, and how it is recognised."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from rewardmodel.learning.checkpoints.weights import StoredWeights
from rewardmodel.learning.model.backbones.config import BlipConfig, DualConfig

# What official files hold beside the weights that a reward needs: a pattern of whole names, and what it is.
# Whatever else is left over is an error.
LEFTOVERS = {
    r"(.*\.)?position_ids": "the numbers 0, 1, 2 ... of positions",
    r"(visual_encoder|text_encoder|vision_proj|text_proj)_m\..*": "momentum copies, of BLIP's pretraining",
    r"(image|text|idx|ptr)_queue|queue_ptr": "negative examples, of BLIP's pretraining",
    r"temp": "the temperature of BLIP's contrastive loss",
    r"itm_head\..*": "BLIP's matching head, two logits; the reward's head starts fresh",
    r"text_decoder\..*": "BLIP's captioning decoder",
    r"(text_model|text_encoder)\.pooler\..*": "BERT's pooler, which reads [CLS] another way",
    r"(visual_projection|text_projection)\.weight|logit_scale": "BlipModel's contrastive head",
}


@dataclass(frozen=True)
class Release:
    """Weights under our names and what a checkpoint says beside them. A reward is (raw - mean) / std.

    `fresh`: beginnings of the names that it has no weights for, which start anew.
    """

    source: Path
    backbone: BlipConfig | DualConfig
    weights: dict[str, Tensor]
    tokenizer: Callable[[], Any]  # reading it may need what is not on this machine
    max_tokens: int
    mean: float = 0.0
    std: float = 1.0
    fresh: tuple[str, ...] = ()


@dataclass(frozen=True)
class Form:
    """A way in which weights are published; the names in `mark` tell it from others.

    `read` gets the file's weights and the config that transformers wrote beside it, if any.
    """

    name: str
    mark: frozenset[str]
    read: Callable[[StoredWeights, Mapping[str, Any] | None], Release]


def without_leftovers(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """All but what LEFTOVERS names."""
    known = re.compile("|".join(f"(?:{pattern})" for pattern in LEFTOVERS))
    return {name: tensor for name, tensor in weights.items() if not known.fullmatch(name)}

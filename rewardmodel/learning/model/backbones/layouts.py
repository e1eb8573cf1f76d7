"""The layouts in which others publish weights: how each is recognised, read under our names, and written."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from torch import Tensor

from rewardmodel.learning.errors import CheckpointError
from rewardmodel.learning.model.backbones.backbone import BackboneConfig

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
class StoredWeights:
    """Tensors of a file by name; `distributed` where each name had DistributedDataParallel's prefix."""

    file: Path
    tensors: dict[str, Tensor]
    distributed: bool = False

    def read_beside(self, name: str) -> Any:
        """Return what a JSON file beside the weights holds; None without one. Raises: CheckpointError."""
        file = self.file.parent / name
        try:
            return json.loads(file.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            raise CheckpointError(f"{file}: cannot be read ({error})") from error


@dataclass(frozen=True)
class Release:
    """Weights under our names, and the rest of a checkpoint's config. A reward is (raw - mean) / std.

    Attributes:
        tokenizer: whose it was trained with; "own" is the one that lies beside the weights.
        vocabulary: how many tokens the weights know.
        fresh: prefixes of the names that it has no weights for, which are initialised anew.
    """

    source: Path
    backbone: BackboneConfig
    weights: dict[str, Tensor]
    tokenizer: Literal["bert", "clip", "own"]
    vocabulary: int
    mean: float = 0.0
    std: float = 1.0
    fresh: tuple[str, ...] = ()


@dataclass(frozen=True)
class PublishedLayout:
    """A layout in which others publish weights.

    Attributes:
        mark: names of weights that tell it from other layouts.
        read: takes the file's weights, and the config that transformers wrote beside it, if any.
            Raises CheckpointError.
        export: the name under which `convert` writes it, if it does.
        write: takes a backbone's config, the weights under our names, and the path of the file or the folder.
            Raises ValueError when the layout cannot hold them.
    """

    name: str
    mark: frozenset[str]
    read: Callable[[StoredWeights, Mapping[str, Any] | None], Release]
    export: str = ""
    write: Callable[[Any, Mapping[str, Tensor], Path], None] | None = None


def without_leftovers(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return all but what LEFTOVERS names."""
    known = re.compile("|".join(f"(?:{pattern})" for pattern in LEFTOVERS))
    return {name: tensor for name, tensor in weights.items() if not known.fullmatch(name)}

"""Reward models and backbones as others publish them, made ours."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from rewardmodel.learning.checkpoints.published import blip, dual
from rewardmodel.learning.checkpoints.published.blip import at_size
from rewardmodel.learning.checkpoints.published.release import Release
from rewardmodel.learning.checkpoints.weights import read_weights
from rewardmodel.learning.errors import CheckpointError

__all__ = ["Release", "at_size", "find_file", "read"]

CONFIG = "config.json"
SAFE = "model.safetensors"
PICKLES = ("*.pt", "*.pth", "pytorch_model.bin")


def read(file: Path) -> Release:
    """What a published file holds, under our names; its form is recognised by the names in it.

    Raises: CheckpointError.
    """
    stored = read_weights(file)
    config = _transformers_config(file.parent / CONFIG)
    for form in (*blip.FORMS, *dual.FORMS):
        if form.mark <= stored.tensors.keys():
            return form.read(stored, config)
    first = ", ".join(sorted(stored.tensors)[:3])
    known = ", ".join(form.name for form in (*blip.FORMS, *dual.FORMS))
    raise CheckpointError(f"{file}: another architecture; it begins with {first}; known are {known}")


def find_file(folder: Path) -> Path | None:
    """The file of weights in a folder that somebody published; None when it holds none.

    Raises: CheckpointError when there are several.
    """
    if (folder / SAFE).is_file() and _transformers_config(folder / CONFIG) is not None:
        return folder / SAFE
    found = sorted(file for pattern in PICKLES for file in folder.glob(pattern))
    if len(found) > 1:
        names = ", ".join(file.name for file in found)
        raise CheckpointError(f"{folder}: holds {names}; name the one that is meant")
    return found[0] if found else None


def _transformers_config(file: Path) -> dict[str, Any] | None:
    """The config that transformers wrote, if one is there."""
    try:
        values = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{file}: cannot be read ({error})") from error
    return values if isinstance(values, dict) and "model_type" in values else None

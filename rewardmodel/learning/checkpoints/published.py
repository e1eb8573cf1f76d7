"""Reward models and backbones in the layouts in which others publish them: read, recognised and written."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from rewardmodel.learning.checkpoints.weights import read_weights
from rewardmodel.learning.errors import CheckpointError
from rewardmodel.learning.model.backbones import BACKBONES
from rewardmodel.learning.model.backbones.layouts import Release, StoredWeights
from rewardmodel.learning.model.reward import RewardModel
from rewardmodel.learning.saving import write_whole

CONFIG = "config.json"
SAFE = "model.safetensors"
PICKLES = ("*.pt", "*.pth", "pytorch_model.bin")


def read(file: Path, image_size: int | None = None) -> Release:
    """Read a published file under our names; its layout is recognised by the names in it.

    Args: image_size: in pixels, for images of another size than the file's.
    Raises: CheckpointError.
    """
    stored = read_weights(file)
    config = _transformers_config(stored)
    layouts = [layout for registered in BACKBONES.values() for layout in registered.layouts]
    layout = next((layout for layout in layouts if layout.mark <= stored.tensors.keys()), None)
    if layout is None:
        first, known = ", ".join(sorted(stored.tensors)[:3]), ", ".join(layout.name for layout in layouts)
        raise CheckpointError(f"{file}: another architecture; it begins with {first}; known are {known}")
    release = layout.read(stored, config)
    if image_size is None:
        return release
    try:
        backbone, weights = release.backbone.resize(release.weights, image_size)
    except ValueError as error:
        raise CheckpointError(f"{file}: {error}") from error
    return dataclasses.replace(release, backbone=backbone, weights=weights)


def write(model: RewardModel, tokenizer: Any, path: Path, export: str) -> None:
    """Write a model in a published layout, a file or a folder, without its heads for aspects.

    Args:
        tokenizer: written beside the weights where the layout is a folder.
        export: the layout's name for `convert`.
    Raises: CheckpointError when the layout cannot hold the model; NotSaved.
    """
    layouts = BACKBONES[model.config.kind].layouts
    writers = {layout.export: layout.write for layout in layouts if layout.write}
    if export not in writers:
        raise CheckpointError(f"a {model.config.kind} model is no BLIP")
    weights = {
        name: tensor.detach().cpu().contiguous()
        for name, tensor in model.state_dict().items()
        if not name.startswith("aspect_heads.")  # no published layout has these
    }
    with write_whole(path) as written:
        try:
            writers[export](model.config, weights, written)
        except ValueError as error:
            raise CheckpointError(f"{path}: {error}") from error
        if written.is_dir():
            tokenizer.save_pretrained(written)


def find_file(folder: Path) -> Path | None:
    """Return the file of weights in a folder that somebody published; None when it holds none.

    Raises: CheckpointError when there are several.
    """
    if (folder / SAFE).is_file() and _transformers_config(StoredWeights(folder / SAFE, {})) is not None:
        return folder / SAFE
    files = sorted(file for pattern in PICKLES for file in folder.glob(pattern))
    if len(files) > 1:
        names = ", ".join(file.name for file in files)
        raise CheckpointError(f"{folder}: holds {names}; name the one that is meant")
    return files[0] if files else None


def _transformers_config(stored: StoredWeights) -> dict[str, Any] | None:
    """Return the config that transformers wrote beside the weights, if one is there."""
    values = stored.read_beside(CONFIG)
    return values if isinstance(values, dict) and "model_type" in values else None

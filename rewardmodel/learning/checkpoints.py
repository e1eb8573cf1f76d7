"""Reward models on disk: a folder of config.json, model.safetensors and the tokenizer's files."""

from __future__ import annotations

import dataclasses
import json
import os
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from rewardmodel.learning.backbones.config import BlipConfig
from rewardmodel.learning.lora import plain_weights
from rewardmodel.learning.model import RewardModel
from rewardmodel.learning.saving import NotSaved, saving, sync, sync_name

CONFIG = "config.json"
WEIGHTS = "model.safetensors"


class CheckpointError(ValueError):
    """A checkpoint is missing, broken or of another shape; the message names the file and says how."""


@dataclass(frozen=True)
class CheckpointConfig:
    """What a checkpoint says beside its weights. A reward is (raw - mean) / std."""

    backbone: BlipConfig = field(default_factory=BlipConfig)
    max_tokens: int = 35
    mean: float = 0.0
    std: float = 1.0

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> CheckpointConfig:
        """Read what `dataclasses.asdict` wrote. Raises: TypeError or KeyError on a wrong field."""
        return cls(**{**values, "backbone": BlipConfig.from_dict(values["backbone"])})


@dataclass(frozen=True)
class Checkpoint:
    """A model ready to use, float32, in evaluation mode; and the tokenizer it was trained with."""

    model: RewardModel
    tokenizer: Any
    config: CheckpointConfig


def save(
    folder: Path,
    *,
    model: RewardModel,
    tokenizer: Any,
    config: CheckpointConfig,
    dtype: torch.dtype = torch.float32,
) -> None:
    """Write the checkpoint whole beside its place, then move it there; an older one gives way.

    Adapters are merged: what is saved is the plain model. Killed at any moment, it leaves the older one or
    the new one where `find` sees it.

    Raises: NotSaved, the older one being as it was.
    """
    written = folder.with_name(f".{folder.name}.new")
    try:
        with saving(folder):
            _write(written, model=model, tokenizer=tokenizer, config=config, dtype=dtype)
    except NotSaved:
        shutil.rmtree(written, ignore_errors=True)
        raise
    old = _aside(folder)
    if folder.exists():
        shutil.rmtree(old, ignore_errors=True)
        os.replace(folder, old)
    os.replace(written, folder)
    sync_name(folder)
    shutil.rmtree(old, ignore_errors=True)


def _write(
    folder: Path, *, model: RewardModel, tokenizer: Any, config: CheckpointConfig, dtype: torch.dtype
) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    tokenizer.save_pretrained(folder)
    weights = {name: tensor.to("cpu", dtype).contiguous() for name, tensor in plain_weights(model).items()}
    save_file(weights, folder / WEIGHTS, metadata={"format": "pt"})
    (folder / CONFIG).write_text(json.dumps(dataclasses.asdict(config), indent=2) + "\n", encoding="utf-8")
    sync(folder)


def load(path_or_hub_id: str | Path) -> Checkpoint:
    """Read a checkpoint strictly. Raises: CheckpointError."""
    folder = find(path_or_hub_id)
    config = _read_config(folder / CONFIG)
    model = RewardModel(config.backbone)
    _fill(model, _read_weights(folder / WEIGHTS), source=folder / WEIGHTS)
    return Checkpoint(model.eval(), load_tokenizer(folder), config)


def find(path_or_hub_id: str | Path) -> Path:
    """The checkpoint's folder, fetched from the hub when it is no path. Raises: CheckpointError."""
    folder = Path(path_or_hub_id)
    if folder.is_dir():
        return folder
    if folder.exists():
        raise CheckpointError(f"{folder}: not a folder; a checkpoint is one with {CONFIG} and {WEIGHTS}")
    if _aside(folder).is_dir():
        return _aside(folder)  # a save was killed between its two moves
    if not isinstance(path_or_hub_id, str) or not re.fullmatch(r"\w[\w.-]*/[\w.-]+", path_or_hub_id):
        raise CheckpointError(f"{folder}: no such checkpoint")
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(path_or_hub_id, allow_patterns=["*.json", "*.safetensors"]))
    except (OSError, ValueError) as error:
        raise CheckpointError(
            f"{path_or_hub_id}: no such folder, and the hub did not give it ({error}); "
            f"put {CONFIG}, {WEIGHTS} and the tokenizer's files into a folder and name that"
        ) from error


def _aside(folder: Path) -> Path:
    """Where a checkpoint lies while another takes its place: no folder that is not empty can be replaced."""
    return folder.with_name(f".{folder.name}.old")


def load_tokenizer(folder: Path) -> Any:
    """The BERT tokenizer stored in the folder. Raises: CheckpointError."""
    from transformers import BertTokenizer

    if not (folder / "tokenizer.json").is_file():
        raise CheckpointError(f"{folder / 'tokenizer.json'}: no such file")
    try:
        return BertTokenizer.from_pretrained(folder)
    except (OSError, ValueError, KeyError) as error:
        raise CheckpointError(f"{folder}: its tokenizer cannot be read ({error})") from error


def _read_config(file: Path) -> CheckpointConfig:
    try:
        return CheckpointConfig.from_dict(json.loads(file.read_text(encoding="utf-8")))
    except FileNotFoundError:
        raise CheckpointError(f"{file}: no such file") from None
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise CheckpointError(f"{file}: not a reward model's config ({error})") from error


def _read_weights(file: Path) -> dict[str, Tensor]:
    try:
        return load_file(file)
    except FileNotFoundError:
        raise CheckpointError(f"{file}: no such file") from None
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"{file}: truncated, or no safetensors file ({error})") from error


def _fill(model: RewardModel, weights: Mapping[str, Tensor], *, source: Path) -> None:
    """Give the model exactly these weights, as float32."""
    wanted = model.state_dict()
    problems = [f"missing {name}" for name in sorted(wanted.keys() - weights.keys())]
    problems += [f"unexpected {name}" for name in sorted(weights.keys() - wanted.keys())]
    problems += [
        f"{name} is {list(weights[name].shape)}, not {list(wanted[name].shape)}"
        for name in sorted(wanted.keys() & weights.keys())
        if weights[name].shape != wanted[name].shape
    ]
    if problems:
        raise CheckpointError(f"{source}: another architecture: " + "; ".join(problems))
    model.load_state_dict({name: tensor.float() for name, tensor in weights.items()})

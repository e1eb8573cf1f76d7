"""Reward models on disk: a folder of config.json, model.safetensors and the tokenizer's files."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from rewardmodel.learning.checkpoints import hub, published, tokenizers
from rewardmodel.learning.checkpoints.weights import load_state_dict, read_weights
from rewardmodel.learning.errors import CheckpointError
from rewardmodel.learning.model import aspects
from rewardmodel.learning.model.backbones import BackboneConfig, backbone_from_dict
from rewardmodel.learning.model.backbones.blip import BlipConfig
from rewardmodel.learning.model.backbones.layouts import Release
from rewardmodel.learning.model.lora import plain_weights
from rewardmodel.learning.model.reward import RewardModel
from rewardmodel.learning.reference import Reference
from rewardmodel.learning.saving import replaced_folder, write_whole

__all__ = ["Checkpoint", "CheckpointConfig", "find", "load", "save"]

CONFIG = "config.json"
WEIGHTS = "model.safetensors"
ARTIFACT_WEIGHT = ".look.weight"  # heads of older checkpoints have none: they read no patches


@dataclass(frozen=True)
class CheckpointConfig:
    """The config of a checkpoint, beside its weights. A reward is (raw - mean) / std."""

    backbone: BackboneConfig = field(default_factory=BlipConfig)
    max_tokens: int = 35
    mean: float = 0.0
    std: float = 1.0
    aspects: tuple[str, ...] = ()  # those that heads beside the reward's predict
    # Of each aspect's score, mean and deviation on the validation images.
    aspect_scales: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    reference: Reference | None = None  # None of checkpoints from before it was kept, and of others' models

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> CheckpointConfig:
        """Read what `dataclasses.asdict` wrote.

        Raises: TypeError or KeyError on a wrong field; ValueError on an unknown kind or aspect.
        """
        heads = aspects.validate(values.get("aspects", ()))  # the first checkpoints did not say it
        scales = {name: (mean, std) for name, (mean, std) in values.get("aspect_scales", {}).items()}
        backbone = backbone_from_dict(values["backbone"])
        reference = values.get("reference") and Reference.from_dict(values["reference"])
        read = {"backbone": backbone, "aspects": heads, "aspect_scales": scales, "reference": reference}
        return cls(**{**values, **read})


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
    """Write the checkpoint whole, in place of an older one; adapters are merged into a plain model.

    Killed at any moment, it leaves the older checkpoint or the new one where `find` sees it.

    Raises: NotSaved, the older one being as it was.
    """
    with write_whole(folder) as written:
        _write(written, model=model, tokenizer=tokenizer, config=config, dtype=dtype)


def _write(
    folder: Path, *, model: RewardModel, tokenizer: Any, config: CheckpointConfig, dtype: torch.dtype
) -> None:
    folder.mkdir(parents=True)
    tokenizer.save_pretrained(folder)
    weights = {name: tensor.to("cpu", dtype).contiguous() for name, tensor in plain_weights(model).items()}
    save_file(weights, folder / WEIGHTS, metadata={"format": "pt"})
    (folder / CONFIG).write_text(json.dumps(dataclasses.asdict(config), indent=2) + "\n", encoding="utf-8")


def load(path_or_hub_id: str | Path, *, image_size: int | None = None) -> Checkpoint:
    """Load a checkpoint strictly: a folder that `save` wrote, or what somebody published.

    Args: image_size: make a published BLIP read images of so many pixels instead of its own.
    Raises: CheckpointError.
    """
    path = find(path_or_hub_id)
    if path.is_file():
        return _from_release(published.read(path, image_size))
    if image_size is not None:
        raise CheckpointError(f"{path}: its image size is settled; only what others published can change it")
    config = _read_config(path / CONFIG)
    stored = read_weights(path / WEIGHTS)
    tokenizer = _load_tokenizer(path, config.backbone.tokenizer_class)
    reads_patches = any(name.endswith(ARTIFACT_WEIGHT) for name in stored.tensors)
    model = _build(config.backbone, config.aspects, artifact_heads=reads_patches)
    load_state_dict(model, stored.tensors, source=path / WEIGHTS)
    return Checkpoint(model.eval(), tokenizer, config)


def _from_release(release: Release) -> Checkpoint:
    tokenizer = tokenizers.load_tokenizer(release.tokenizer, release.source.parent, release.vocabulary)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)  # a head that starts fresh starts the same each time
        model = RewardModel(release.backbone) if release.fresh else _build(release.backbone)
    load_state_dict(model, release.weights, source=release.source, fresh=release.fresh)
    config = CheckpointConfig(release.backbone, release.backbone.prompt_length, release.mean, release.std)
    return Checkpoint(model.eval(), tokenizer, config)


def _build(
    backbone: BackboneConfig, aspects: tuple[str, ...] = (), *, artifact_heads: bool = True
) -> RewardModel:
    """A model whose weights are yet to come; drawing those of a large one takes seconds."""
    if not backbone.meta_init:
        return RewardModel(backbone, aspects, artifact_heads=artifact_heads)
    with torch.device("meta"):
        return RewardModel(backbone, aspects, artifact_heads=artifact_heads)


def find(path_or_hub_id: str | Path) -> Path:
    """Return the checkpoint's folder, or the published file; fetched from the hub when it is no path.

    Raises: CheckpointError.
    """
    path = Path(path_or_hub_id)
    if path.is_file():
        return path
    if not path.exists() and replaced_folder(path).is_dir():
        return replaced_folder(path)  # a save was killed between its two moves
    if not path.exists():
        if not isinstance(path_or_hub_id, str) or not hub.is_id(path_or_hub_id):
            raise CheckpointError(f"{path}: no such checkpoint")
        path = hub.fetch(path_or_hub_id)
        if path.is_file():
            return path
    return path if _is_own_config(path / CONFIG) else published.find_file(path) or path


def settle(path_or_hub_id: str) -> str:
    """Return what names the same files tomorrow: a hub id with its commit, and a path as it is.

    Raises: CheckpointError where the hub does not give it.
    """
    path = Path(path_or_hub_id)
    is_here = path.exists() or replaced_folder(path).is_dir()
    return path_or_hub_id if is_here or not hub.is_id(path_or_hub_id) else hub.pin(path_or_hub_id)


def _is_own_config(file: Path) -> bool:
    """Whether the config is Laurel's, or broken: then reading it says how."""
    try:
        values = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return False
    except (OSError, ValueError):
        return True
    return not isinstance(values, dict) or "model_type" not in values


def _load_tokenizer(folder: Path, tokenizer_class: str) -> Any:
    import transformers

    if not (folder / "tokenizer.json").is_file():
        raise CheckpointError(f"{folder / 'tokenizer.json'}: no such file")
    try:
        return getattr(transformers, tokenizer_class).from_pretrained(folder)
    except (OSError, ValueError, KeyError) as error:
        raise CheckpointError(f"{folder}: its tokenizer cannot be read ({error})") from error


def _read_config(file: Path) -> CheckpointConfig:
    try:
        return CheckpointConfig.from_dict(json.loads(file.read_text(encoding="utf-8")))
    except FileNotFoundError:
        raise CheckpointError(f"{file}: no such file") from None
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise CheckpointError(f"{file}: not a reward model's config ({error})") from error

"""BLIP and ImageReward: the files of their authors, and transformers' layout of them, both ways.

Sources: salesforce/BLIP, zai-org/ImageReward, transformers' BLIP.
"""

from __future__ import annotations

import dataclasses
import json
import logging
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from rewardmodel.learning.errors import CheckpointError
from rewardmodel.learning.model.backbones.blip import BlipConfig
from rewardmodel.learning.model.backbones.config import TextConfig, VisionConfig
from rewardmodel.learning.model.backbones.layouts import (
    PublishedLayout,
    Release,
    StoredWeights,
    without_leftovers,
)
from rewardmodel.learning.model.heads import HeadConfig

logger = logging.getLogger(__name__)
HEAD_WIDTH = 64  # of each attention head in every published BLIP; their files do not say it
DROP_PATH = {24: 0.1}  # of ViT-L; ViT-B has none
# Mean and deviation of its raw rewards on the paper's test split; of this one file, and of no retrained one.
IMAGE_REWARD_FILE = "ImageReward.pt"
IMAGE_REWARD_MEAN, IMAGE_REWARD_STD = 0.16717362830052426, 1.0333394966054072

POSITIONS = "text_encoder.embeddings.position_ids"
HEAD = "mlp."
WORDS = "embeddings.word_embeddings.weight"
THEIR_CLASS_TOKEN = "embeddings.class_embedding"
# Names within the vision encoder: BLIP's own, transformers'.
VISION_NAMES = (
    ("cls_token", "embeddings.class_embedding"),
    ("pos_embed", "embeddings.position_embedding"),
    ("patch_embed.proj", "embeddings.patch_embedding"),
    ("blocks", "encoder.layers"),
    ("norm1", "layer_norm1"),
    ("norm2", "layer_norm2"),
    ("attn.qkv", "self_attn.qkv"),
    ("attn.proj", "self_attn.projection"),
    ("norm", "post_layernorm"),
)


def read_image_reward(stored: StoredWeights, config: Mapping[str, Any] | None) -> Release:
    """Read ImageReward.pt, or what the published training script saved."""
    weights = {name: each for name, each in stored.tensors.items() if name != f"blip.{POSITIONS}"}
    release = _release(stored.file, weights)
    if stored.distributed:  # the published training script saved it: no file of the paper's authors
        return release
    if stored.file.name != IMAGE_REWARD_FILE:
        logger.warning(
            "%s: rewards are taken as they come, with mean 0 and deviation 1. If it is the published %s, "
            "give it that name: only under it are the published %s and %s taken out",
            *(stored.file, IMAGE_REWARD_FILE, IMAGE_REWARD_MEAN, IMAGE_REWARD_STD),
        )
        return release
    return dataclasses.replace(release, mean=IMAGE_REWARD_MEAN, std=IMAGE_REWARD_STD)


def read_blip(stored: StoredWeights, config: Mapping[str, Any] | None) -> Release:
    """Read model_large.pth, model_base.pth and those tuned from them; the head starts fresh."""
    weights = without_leftovers(stored.tensors)
    return _release(stored.file, {f"blip.{name}": each for name, each in weights.items()})


def read_transformers(stored: StoredWeights, config: Mapping[str, Any] | None) -> Release:
    """Read BlipForImageTextRetrieval or BlipModel; the head starts fresh, unless `convert` wrote the file."""
    weights = {}
    for name, tensor in without_leftovers(stored.tensors).items():
        name = re.sub(r"^text_model\.", "text_encoder.", name)
        if name.startswith("vision_model."):
            name = f"visual_encoder.{_renamed(name.removeprefix('vision_model.'), to_ours=True)}"
        weights[name if name.startswith(HEAD) else f"blip.{name}"] = tensor
    release = _release(stored.file, weights)
    if config is None:
        return release
    return dataclasses.replace(release, backbone=_as_configured(shape_of(weights), config, stored.file))


def write_image_reward(config: BlipConfig, weights: Mapping[str, Tensor], file: Path) -> None:
    """Write the state dict that the published package loads. Raises: ValueError if it could not."""
    _check_shape_can_be_inferred(config, weights)
    torch.save({**weights, f"blip.{POSITIONS}": _positions(config)}, file)


def write_blip(config: BlipConfig, weights: Mapping[str, Tensor], file: Path) -> None:
    """Write the encoders as BLIP's own code reads them; the head stays out. Raises: ValueError."""
    _check_shape_can_be_inferred(config, weights)
    encoders = {name.removeprefix("blip."): each for name, each in weights.items() if name[:5] == "blip."}
    torch.save({"model": encoders | {POSITIONS: _positions(config)}}, file)


def write_transformers(config: BlipConfig, weights: Mapping[str, Tensor], folder: Path) -> None:
    """Write a folder of BlipForImageTextRetrieval; the head is in the same file, and transformers ignores it.

    Every value is written out: transformers' defaults are not BLIP's.
    """
    renamed = {}
    for name, tensor in weights.items():
        name = name.removeprefix("blip.")
        if name.startswith("visual_encoder."):
            name = f"vision_model.{_renamed(name.removeprefix('visual_encoder.'), to_ours=False)}"
        renamed[name] = tensor
    folder.mkdir(parents=True, exist_ok=True)
    save_file(renamed, folder / "model.safetensors", metadata={"format": "pt"})
    text = json.dumps(_transformers_config(config), indent=2) + "\n"
    (folder / "config.json").write_text(text, encoding="utf-8")


LAYOUTS = (
    PublishedLayout(
        "ImageReward",
        frozenset({"blip.visual_encoder.cls_token"}),
        read_image_reward,
        export="image-reward",
        write=write_image_reward,
    ),
    PublishedLayout(
        "BLIP", frozenset({"visual_encoder.cls_token"}), read_blip, export="blip", write=write_blip
    ),
    PublishedLayout(
        "transformers' BlipForImageTextRetrieval",
        frozenset({f"vision_model.{THEIR_CLASS_TOKEN}", f"text_encoder.{WORDS}"}),
        read_transformers,
        export="transformers",
        write=write_transformers,
    ),
    PublishedLayout(
        "transformers' BlipModel",
        frozenset({f"vision_model.{THEIR_CLASS_TOKEN}", f"text_model.{WORDS}"}),
        read_transformers,
    ),
)


def _release(file: Path, weights: dict[str, Tensor]) -> Release:
    try:
        shape = shape_of(weights)
    except KeyError as error:
        raise CheckpointError(f"{file}: another architecture: missing {error.args[0]}") from error
    except ValueError as error:
        raise CheckpointError(f"{file}: another architecture: {error}") from error
    return Release(
        file,
        shape,
        weights,
        tokenizer="bert",
        vocabulary=shape.text.vocabulary,
        fresh=() if any(name.startswith(HEAD) for name in weights) else (HEAD,),
    )


def shape_of(weights: Mapping[str, Tensor]) -> BlipConfig:
    """The shape that weights under our names have, and what their files leave out as BLIP has it.

    Raises: KeyError naming a weight that is missing; ValueError when no BLIP has this shape.
    """
    image, prompt = "blip.visual_encoder.", "blip.text_encoder."
    vocabulary, width = weights[f"{prompt}embeddings.word_embeddings.weight"].shape
    patches, vision_width = weights[f"{image}pos_embed"].shape[1:]
    patch = weights[f"{image}patch_embed.proj.weight"].shape[-1]
    side = round((patches - 1) ** 0.5)
    if side**2 != patches - 1:
        raise ValueError(f"{patches - 1} patches make no square")
    if width % HEAD_WIDTH or vision_width % HEAD_WIDTH:
        raise ValueError(f"widths {vision_width} and {width} are no multiples of {HEAD_WIDTH}")
    depth = _count(weights, rf"{re.escape(image)}blocks\.(\d+)\.")
    vision = VisionConfig(
        image_size=side * patch,
        patch=patch,
        width=vision_width,
        layers=depth,
        heads=vision_width // HEAD_WIDTH,
        feed_forward=weights[f"{image}blocks.0.mlp.fc1.weight"].shape[0],
        drop_path=DROP_PATH.get(depth, 0.0),
    )
    text = TextConfig(
        vocabulary=vocabulary,
        positions=weights[f"{prompt}embeddings.position_embeddings.weight"].shape[0],
        width=width,
        layers=_count(weights, rf"{re.escape(prompt)}encoder\.layer\.(\d+)\."),
        heads=width // HEAD_WIDTH,
        feed_forward=weights[f"{prompt}encoder.layer.0.intermediate.dense.weight"].shape[0],
    )
    head = HeadConfig()
    if any(name.startswith(HEAD) for name in weights):
        head = HeadConfig(tuple(weights[f"{HEAD}layers.{n}.weight"].shape[0] for n in (0, 2, 4, 6)))
    projection = weights.get("blip.vision_proj.weight")
    return BlipConfig(vision, text, head, None if projection is None else projection.shape[0])


def _count(weights: Mapping[str, Tensor], pattern: str) -> int:
    numbers = [int(match[1]) for name in weights if (match := re.match(pattern, name))]
    return max(numbers, default=-1) + 1


def _renamed(name: str, *, to_ours: bool) -> str:
    """A name within the vision encoder, in the other's words."""
    for ours, theirs in VISION_NAMES:
        old, new = (theirs, ours) if to_ours else (ours, theirs)
        name = re.sub(rf"(^|\.){re.escape(old)}(?=\.|$)", rf"\g<1>{new}", name)
    return name


def _as_configured(shape: BlipConfig, config: Mapping[str, Any], file: Path) -> BlipConfig:
    """The shape with what the config beside the file says that no weight shows, read as transformers does."""
    from transformers import BlipTextConfig, BlipVisionConfig

    vision = BlipVisionConfig(**config.get("vision_config", {}))
    text = BlipTextConfig(**config.get("text_config", {}))
    for part in (vision, text):
        if part.hidden_act != "gelu":
            raise CheckpointError(f"{file}: its activation is {part.hidden_act}; BLIP's is gelu")
    return dataclasses.replace(
        shape,
        vision=dataclasses.replace(
            shape.vision, heads=vision.num_attention_heads, norm_eps=vision.layer_norm_eps
        ),
        text=dataclasses.replace(shape.text, heads=text.num_attention_heads, norm_eps=text.layer_norm_eps),
    )


def _transformers_config(shape: BlipConfig) -> dict[str, Any]:
    vision, text = shape.vision, shape.text
    return {
        "model_type": "blip",
        "architectures": ["BlipForImageTextRetrieval"],
        "image_text_hidden_size": shape.projection or 256,
        "vision_config": {
            "model_type": "blip_vision_model",
            "hidden_size": vision.width,
            "intermediate_size": vision.feed_forward,
            "num_hidden_layers": vision.layers,
            "num_attention_heads": vision.heads,
            "image_size": vision.image_size,
            "patch_size": vision.patch,
            "layer_norm_eps": vision.norm_eps,
            "hidden_act": "gelu",
        },
        "text_config": {
            "model_type": "blip_text_model",
            "vocab_size": text.vocabulary,
            "hidden_size": text.width,
            "encoder_hidden_size": vision.width,
            "intermediate_size": text.feed_forward,
            "num_hidden_layers": text.layers,
            "num_attention_heads": text.heads,
            "max_position_embeddings": text.positions,
            "layer_norm_eps": text.norm_eps,
            "hidden_act": "gelu",
            "hidden_dropout_prob": text.dropout,
            "attention_probs_dropout_prob": text.attention_dropout,
            "is_decoder": True,  # builds the cross-attention; the call says is_decoder=False
        },
    }


def _check_shape_can_be_inferred(config: BlipConfig, weights: Mapping[str, Tensor]) -> None:
    """Refuse what would be read back as another model: the layout does not say heads and the like."""
    try:
        read = shape_of(weights)
    except (KeyError, ValueError) as error:
        raise ValueError(f"this form cannot hold the model ({error})") from error
    for ours, theirs in ((config.vision, read.vision), (config.text, read.text), (config.head, read.head)):
        for each in dataclasses.fields(ours):
            if "drop" not in each.name and getattr(ours, each.name) != getattr(theirs, each.name):
                value, meant = getattr(ours, each.name), getattr(theirs, each.name)
                raise ValueError(f"this form means {each.name} {meant}; the model has {value}")


def _positions(config: BlipConfig) -> Tensor:
    return torch.arange(config.text.positions)[None]

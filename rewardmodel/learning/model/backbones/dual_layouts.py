"""Dual encoders: any CLIP or SigLIP of transformers (PickScore is one), and HPSv2 in open_clip's layout.

Sources: transformers; open_clip's CLIP and HPSv2's scoring code; PickScore's model card.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from torch import Tensor

from rewardmodel.learning.errors import CheckpointError
from rewardmodel.learning.model.backbones.config import ImageInput
from rewardmodel.learning.model.backbones.dual import DualConfig
from rewardmodel.learning.model.backbones.layouts import PublishedLayout, Release, StoredWeights

PREPROCESSOR = "preprocessor_config.json"
PATCHES = "embeddings.patch_embedding.weight"
WORDS = "embeddings.token_embedding.weight"
BICUBIC = 3  # Pillow's number
# Width of an attention head where it is not 64: ViT-H, ViT-g and ViT-bigG. open_clip's files do not say it.
HEAD_WIDTHS = {1280: 80, 1408: 88, 1664: 104}
# open_clip's, transformers'; beginnings of names, the first that fits.
OPEN_CLIP_NAMES = (
    ("visual.class_embedding", "vision_model.embeddings.class_embedding"),
    ("visual.positional_embedding", "vision_model.embeddings.position_embedding.weight"),
    ("visual.conv1.", "vision_model.embeddings.patch_embedding."),
    ("visual.ln_pre.", "vision_model.pre_layrnorm."),
    ("visual.ln_post.", "vision_model.post_layernorm."),
    ("visual.transformer.resblocks.", "vision_model.encoder.layers."),
    ("visual.proj", "visual_projection.weight"),
    ("token_embedding.", "text_model.embeddings.token_embedding."),
    ("positional_embedding", "text_model.embeddings.position_embedding.weight"),
    ("transformer.resblocks.", "text_model.encoder.layers."),
    ("ln_final.", "text_model.final_layer_norm."),
    ("text_projection", "text_projection.weight"),
)
BLOCK_NAMES = (
    (".ln_1.", ".layer_norm1."),
    (".ln_2.", ".layer_norm2."),
    (".attn.out_proj.", ".self_attn.out_proj."),
    (".mlp.c_fc.", ".mlp.fc1."),
    (".mlp.c_proj.", ".mlp.fc2."),
)


def read_transformers(stored: StoredWeights, config: Mapping[str, Any] | None) -> Release:
    """CLIPModel or SiglipModel, PickScore among them; its config.json has to lie beside the file."""
    file = stored.file
    if config is None:
        raise CheckpointError(f"{file}: needs its config.json beside it, which says the number of heads")
    kind = config["model_type"]
    if kind not in ("clip", "siglip"):
        raise CheckpointError(f"{file}: another architecture: {kind}, not clip or siglip")
    weights = {}
    for name, tensor in stored.tensors.items():
        if not re.fullmatch(r".*\.position_ids", name):
            weights[f"similarity.{name}" if name.startswith("logit_") else f"dual.{name}"] = tensor
    side = config.get("vision_config", {}).get("image_size", 224)  # transformers leaves its default out
    return _release(file, _image_input(stored, kind, side), kind, config, weights)


def read_open_clip(stored: StoredWeights, config: Mapping[str, Any] | None) -> Release:
    """A CLIP of open_clip, as HPSv2 is; its reward is the bare cosine, so `std` takes the scale out."""
    weights: dict[str, Tensor] = {}
    for name, tensor in stored.tensors.items():
        for new, part in _from_open_clip(name, tensor):
            weights[f"similarity.{new}" if new == "logit_scale" else f"dual.{new}"] = part
    try:
        settings = _settings(weights)
    except KeyError as error:
        raise CheckpointError(f"{stored.file}: another architecture: missing {error.args[0]}") from error
    image_input = ImageInput(settings["vision_config"]["image_size"])
    release = _release(stored.file, image_input, "clip", settings, weights)
    scale = weights["similarity.logit_scale"].double().exp().item()
    return Release(**{**vars(release), "std": scale})


LAYOUTS = (
    PublishedLayout(
        "CLIP or SigLIP of transformers",
        frozenset({f"vision_model.{PATCHES}", f"text_model.{WORDS}"}),
        read_transformers,
    ),
    PublishedLayout(
        "CLIP of open_clip (HPSv2)",
        frozenset({"visual.conv1.weight", "token_embedding.weight"}),
        read_open_clip,
    ),
)


def _release(
    file: Path,
    image_input: ImageInput,
    kind: Literal["clip", "siglip"],
    settings: Mapping[str, Any],
    weights: dict[str, Tensor],
) -> Release:
    words = weights.get(f"dual.text_model.{WORDS}")
    positions = weights.get("dual.text_model.embeddings.position_embedding.weight")
    if words is None or positions is None:
        raise CheckpointError(f"{file}: another architecture: missing the text encoder's embeddings")
    return Release(
        file,
        DualConfig(dict(settings), image_input, kind),
        weights,
        tokenizer="clip" if kind == "clip" else "own",
        vocabulary=words.shape[0],
    )


def _from_open_clip(name: str, tensor: Tensor) -> list[tuple[str, Tensor]]:
    """A weight under transformers' name; the fused projections of attention are three there."""
    for old, new in OPEN_CLIP_NAMES:
        if name.startswith(old):
            renamed = new + name.removeprefix(old)
            break
    else:
        return [(name, tensor)]  # the strict load names it, if it is not the scale
    for old, new in BLOCK_NAMES:
        renamed = renamed.replace(old, new)
    if renamed in ("visual_projection.weight", "text_projection.weight"):
        return [(renamed, tensor.T.contiguous())]
    fused = re.fullmatch(r"(.*)\.attn\.in_proj_(weight|bias)", renamed)
    if fused is None:
        return [(renamed, tensor)]
    return [
        (f"{fused[1]}.self_attn.{letter}_proj.{fused[2]}", part.clone())
        for letter, part in zip("qkv", tensor.chunk(3), strict=True)
    ]


def _settings(weights: Mapping[str, Tensor]) -> dict[str, Any]:
    """transformers' config of the shape that the weights have. Raises: KeyError naming a missing one."""
    image, prompt = "dual.vision_model.", "dual.text_model."
    patch = weights[f"{image}embeddings.patch_embedding.weight"].shape[-1]
    patches, width = weights[f"{image}embeddings.position_embedding.weight"].shape
    words, text_width = weights[f"{prompt}embeddings.token_embedding.weight"].shape
    return {
        "model_type": "clip",
        "projection_dim": weights["dual.visual_projection.weight"].shape[0],
        "vision_config": {
            **_tower(weights, image, width),
            "image_size": round((patches - 1) ** 0.5) * patch,
            "patch_size": patch,
        },
        "text_config": {
            **_tower(weights, prompt, text_width),
            "vocab_size": words,
            "max_position_embeddings": weights[f"{prompt}embeddings.position_embedding.weight"].shape[0],
            "bos_token_id": words - 2,
            "eos_token_id": words - 1,  # what pools: the first of the highest number, as open_clip has it
            "pad_token_id": words - 1,
        },
    }


def _tower(weights: Mapping[str, Tensor], prefix: str, width: int) -> dict[str, Any]:
    numbers = [int(n[1]) for name in weights if (n := re.match(rf"{prefix}encoder\.layers\.(\d+)\.", name))]
    return {
        "hidden_size": width,
        "num_hidden_layers": max(numbers, default=-1) + 1,
        "num_attention_heads": width // HEAD_WIDTHS.get(width, 64),
        "intermediate_size": weights[f"{prefix}encoder.layers.0.mlp.fc1.weight"].shape[0],
        "projection_dim": weights["dual.visual_projection.weight"].shape[0],
        "layer_norm_eps": 1e-5,
        "hidden_act": "gelu",  # open_clip's; OpenAI's own weights, which transformers has, are quick_gelu
    }


def _image_input(stored: StoredWeights, kind: str, side: int) -> ImageInput:
    """Return how transformers' processor fits images. Raises: CheckpointError when ours cannot do so."""
    file, settings = stored.file.parent / PREPROCESSOR, stored.read_beside(PREPROCESSOR)
    if settings is None:
        if kind == "clip":
            return ImageInput(side)  # every CLIP was trained so; PickScore comes without the file
        raise CheckpointError(f"{file}: no such file; it says how images are made fit")
    size, crop = settings.get("size", {}), settings.get("crop_size", {})
    side = size if isinstance(size, int) else size.get("shortest_edge", size.get("height"))
    cut = crop if isinstance(crop, int) else crop.get("height")
    crops = settings.get("do_center_crop", kind == "clip")
    squashes = isinstance(size, dict) and "height" in size
    unlike = settings.get("resample", BICUBIC) != BICUBIC or (crops and cut != side) or crops == squashes
    if unlike or side is None:
        raise CheckpointError(f"{file}: asks for neither crop nor squash, or not bicubic")
    fitted: Literal["crop", "squash"] = "squash" if squashes else "crop"
    return ImageInput(side, tuple(settings["image_mean"]), tuple(settings["image_std"]), fitted)

"""LoRA files: written for diffusers and for other programs, and put into a pipeline.

Letters: r rank of a layer's two matrices, I and O the sizes of its input and output.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors.torch import save_file
from torch import Tensor, tensor

from refl.learning.families import Family

DIFFUSERS = "pytorch_lora_weights.safetensors"  # what diffusers looks for in a folder
KOHYA = "kohya.safetensors"
MATRICES = {"lora_A": "lora_down", "lora_B": "lora_up"}  # in peft's names, and in kohya's


# Which base kohya's scripts say a LoRA is of, by the width of the text that its UNet reads.
BASES = {768: "sd_v1", 1024: "sd_v2", 2048: "sdxl_base_v1-0"}


def save_lora(
    family: Family, weights: Mapping[str, Tensor], folder: Path, *, rank: int, alpha: float, layers: list[str]
) -> None:
    """Save a LoRA of the denoiser: for diffusers, and a UNet's for kohya's scripts and what reads its files.

    Args:
        weights: LAYER.lora_A.weight (r, I) and LAYER.lora_B.weight (O, r), as peft names them.
        alpha: the change is B A alpha / rank.
        layers: the ends of their names.
    """
    weights = {name: value.contiguous().cpu() for name, value in weights.items()}
    component = component_of(family)
    # Of peft's fields only those that are not its defaults: it refuses a field of another version of it.
    metadata = {"r": rank, "lora_alpha": alpha, "target_modules": layers}
    family.pipeline.save_lora_weights(
        folder, **{f"{component}_lora_layers": weights, f"{component}_lora_adapter_metadata": metadata}
    )
    if component == "unet":
        base = BASES.get(family.pipeline.unet.config.cross_attention_dim)
        said = kohya_metadata(rank, alpha) | ({"ss_base_model_version": base} if base else {})
        save_file(kohya_weights(weights, alpha), folder / KOHYA, said)


def component_of(family: Family) -> str:
    """What the pipeline calls its denoiser: "unet" or "transformer"."""
    parts: dict[str, Any] = family.pipeline.components
    return next(name for name, part in parts.items() if part is family.denoiser)


def kohya_weights(weights: Mapping[str, Tensor], alpha: float) -> dict[str, Tensor]:
    """Name a UNet's LoRA as kohya's scripts do: lora_unet_LAYER.lora_down.weight, .lora_up.weight and .alpha.

    A LAYER is named as in diffusers' UNet, with _ for the dots, also of SDXL.

    Args: weights: LAYER.lora_A.weight (r, I) and LAYER.lora_B.weight (O, r).
    """
    named = {}
    for name, value in weights.items():
        layer, matrix = name.removesuffix(".weight").rsplit(".", 1)
        key = "lora_unet_" + layer.replace(".", "_")
        named[f"{key}.{MATRICES[matrix]}.weight"] = value
        named[f"{key}.alpha"] = tensor(float(alpha))
    return named


def kohya_metadata(rank: int, alpha: float) -> dict[str, str]:
    """Return what kohya's scripts, and programs that list their files, read of a LoRA's kind and size."""
    return {
        "ss_network_module": "networks.lora",
        "ss_network_dim": str(rank),
        "ss_network_alpha": str(float(alpha)),
    }

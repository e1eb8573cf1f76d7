"""LoRA files: written for diffusers and for other programs, and put into a pipeline.

Letters: r rank of a layer's two matrices, I and O the sizes of its input and output.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from peft.tuners.tuners_utils import BaseTunerLayer
from safetensors.torch import load_file, save_file
from torch import Tensor, nn, tensor

from refl.learning.families import Family
from refl.learning.families.lora_files import KOHYA, OTHER_KIND, NotALoRA, read_layers

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
    component = family.denoiser_name
    # Of peft's fields only those that are not its defaults: it refuses a field of another version of it.
    metadata = {"r": rank, "lora_alpha": alpha, "target_modules": layers}
    family.pipeline.save_lora_weights(
        folder, **{f"{component}_lora_layers": weights, f"{component}_lora_adapter_metadata": metadata}
    )
    if component == "unet":
        base = BASES.get(family.pipeline.unet.config.cross_attention_dim)
        said = kohya_metadata(rank, alpha) | ({"ss_base_model_version": base} if base else {})
        save_file(kohya_weights(weights, alpha), folder / KOHYA, said)


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


def fuse_lora(family: Family, file: Path) -> None:
    """Add a LoRA to the weights that it changes, in whichever of the layouts that diffusers reads.

    Raises: NotALoRA, also where the pipeline has not every layer that the file changes.
    """
    pipeline, layers = family.pipeline, dict(read_layers(file))
    if not all(value.isfinite().all() for value in load_file(file).values()):
        raise NotALoRA(f"{file}: it holds numbers that are not finite: fetch or save it again")
    place = {"weight_name": file.name, "use_safetensors": True, "local_files_only": True}
    unet = pipeline.components.get("unet")
    try:
        renamed = pipeline.lora_state_dict(
            str(file.parent), **place, **({"unet_config": unet.config} if unet is not None else {})
        )
        names = renamed[0] if isinstance(renamed, tuple) else renamed
        pipeline.load_lora_weights(str(file.parent), adapter_name="base", **place)
    except Exception as error:  # of every class, according to what does not fit where
        reason = " ".join(str(error).split())[:300]
        raise NotALoRA(f"{file}: diffusers cannot load it into this pipeline ({reason})") from error
    wanted = sum(name.endswith(("lora_A.weight", "down.weight")) for name in names)
    present = sum(
        isinstance(module, BaseTunerLayer)
        for part in pipeline.components.values()
        if isinstance(part, nn.Module)
        for module in part.modules()
    )
    if present < wanted:
        raise NotALoRA(
            f"{file}: the pipeline has {present} of the {wanted} layers that it changes, such as "
            f"{next(iter(layers))}; {OTHER_KIND}"
        )
    pipeline.fuse_lora()
    pipeline.unload_lora_weights()

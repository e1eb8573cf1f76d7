"""LoRA files: their names, and whether one fits a pipeline. No torch.

Letters: r rank of a layer's two matrices, I and O the sizes of its input and output.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from refl.learning.families import NotAPipeline
from refl.learning.families.folders import PipelineFolder
from refl.learning.families.inspection import Inspection
from refl.learning.families.weight_files import Header, read_header

DIFFUSERS = "pytorch_lora_weights.safetensors"  # what diffusers looks for in a folder
KOHYA = "kohya.safetensors"

# A layer's matrix (r, I), whoever named it: X.lora_A.weight, X.lora_down.weight, X_lora.down.weight ...
DOWN = re.compile(r"[._]lora(_linear_layer)?[._](A|down)\.weight$")
DENOISERS = ("unet.", "transformer.", "diffusion_model.", "lora_unet_", "lora_transformer_")
TEXT_ENCODERS = ("text_encoder", "lora_te")
# Blocks as the networks' first publishers name them; diffusers renames them when it loads the file.
ORIGINAL = re.compile(r"(input|middle|output|double|single|joint)_blocks?[._]")

OTHER_KIND = "name the LoRA with the kind of pipeline that it was trained on"


class NotALoRA(NotAPipeline):
    """The file is no LoRA, or one of another kind of pipeline."""


def check_lora(file: Path, folder: Path, inspection: Inspection) -> None:
    """Refuse a LoRA whose layers the pipeline's denoiser has not, or has in another size.

    Layers of a text encoder, and those under the names of first publication, are compared when it is loaded.

    Args: folder: of the pipeline; inspection: of the same.
    Raises: NotALoRA.
    """
    layers = dict(read_layers(file))
    sizes = _input_sizes(folder, inspection)
    for layer, size in layers.items():
        prefix = next((prefix for prefix in DENOISERS if layer.startswith(prefix)), "")
        if layer.startswith(TEXT_ENCODERS) or ORIGINAL.search(layer):
            continue
        name = _plain(layer.removeprefix(prefix))
        wanted = sizes.get(name, sizes.get(f"{name}0"))  # diffusers once left out the 0 of to_out.0
        if wanted is None:
            raise NotALoRA(f"{file}: {layer} is no layer of {inspection.name}; {OTHER_KIND}")
        if wanted != size:
            raise NotALoRA(
                f"{file}: {layer} has {size} inputs, and in {inspection.name} {wanted}; {OTHER_KIND}"
            )


def read_layers(file: Path) -> Iterator[tuple[str, int]]:
    """Yield the layers that a LoRA changes, as the file names them, and each one's I. Raises: NotALoRA."""
    if not file.is_file():
        raise NotALoRA(f"{file}: no such file; a LoRA is a file of safetensors")
    try:
        header = read_header(PipelineFolder(file.parent, str(file.parent)), file.name)
    except NotAPipeline as error:
        raise NotALoRA(str(error)) from error
    downs = {DOWN.sub("", name): tensor.get("shape") for name, tensor in header.items() if DOWN.search(name)}
    if not downs:
        raise NotALoRA(f"{file}: it holds no LoRA: none of its tensors is named like lora_A or lora_down")
    for layer, shape in downs.items():
        if not isinstance(shape, list) or len(shape) < 2:
            raise NotALoRA(f"{file}: {layer}: a LoRA's tensor is a matrix, its shape is {shape!r}")
        yield layer, shape[1]


def _input_sizes(folder: Path, inspection: Inspection) -> dict[str, int]:
    """Return the I of each layer of the denoiser, by its name without dots and underscores."""
    contents = PipelineFolder(folder, inspection.name)
    sizes = {}
    for network in inspection.networks:
        if network.component in ("unet", "transformer"):
            for file in network.files:
                header: Header = {} if file.endswith(".json") else read_header(contents, file)
                for name, tensor in header.items():
                    if name.endswith(".weight") and len(tensor["shape"]) > 1:
                        sizes[_plain(name.removesuffix(".weight"))] = int(tensor["shape"][1])
    return sizes


def _plain(layer: str) -> str:
    return re.sub(r"[._]", "", layer.replace(".processor", ""))

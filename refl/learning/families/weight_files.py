"""The files that hold a network's weights, and what their headers say. No torch, and never a pickle."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from refl.learning.families.folders import PipelineFolder

STEMS = {"diffusers": "diffusion_pytorch_model", "transformers": "model"}  # library -> name of its weights
VARIANTS = (None, "fp16", "bf16")  # the first that is there is read, before any other
PICKLES = (".bin", ".ckpt", ".pt", ".pth")
FLOATS = ("F64", "F32", "F16", "BF16", "F8_E4M3", "F8_E5M2")
MAX_HEADER = 100 * 2**20  # bytes, safetensors' own limit
LORA = re.compile(r"\.(lora|lora_[A-Z]|lora_(up|down)|base_layer)\.")

Header = Mapping[str, Mapping[str, Any]]  # name of a tensor -> its "dtype", "shape" and "data_offsets"


@dataclass(frozen=True)
class Network:
    """A network's class and files.

    Attributes:
        component, library, class_name: as in model_index.json.
        variant: what stands before the suffix of its files' names, such as "fp16"; None for plain names.
        files: of its weights, and before them their index if they are in shards; named from the folder.
    """

    component: str
    library: str
    class_name: str
    variant: str | None
    files: tuple[str, ...]


def find_network(folder: PipelineFolder, component: str, library: str, class_name: str) -> Network:
    """Find a network's files, those of plain names before those of a variant. Raises: NotAPipeline."""
    stem = STEMS[library]
    candidates: dict[str | None, str] = {}
    for suffix in (r"(?:(\w+)\.)?safetensors", r"safetensors\.index\.(?:(\w+)\.)?json"):
        for file in sorted(folder.files):
            if match := re.fullmatch(rf"{component}/{stem}\.{suffix}", file):
                candidates.setdefault(match[1], file)
    if not candidates:
        raise folder.fault(f"{component}/", _missing_weights(folder, component, stem))
    variant = next((name for name in (*VARIANTS, *candidates) if name in candidates), None)
    file = candidates[variant]
    shards = _shards(folder, file) if file.endswith(".json") else ()
    return Network(component, library, class_name, variant, (file, *shards))


def check_network(folder: PipelineFolder, network: Network) -> None:
    """Refuse files that are broken, quantised, or hold a LoRA beside the weights. Raises: NotAPipeline."""
    index, *shards = network.files if network.files[0].endswith(".json") else ("", *network.files)
    names: set[str] = set()
    for file in shards:
        header = read_header(folder, file)
        _check_tensors(folder, file, header)
        names |= header.keys()
    lost = sorted(folder.read_json(index)["weight_map"].keys() - names) if index else []
    if lost:
        raise folder.fault(index, f"no shard has {lost[0]}, which it names; fetch or save them again")


def read_header(folder: PipelineFolder, file: str) -> Header:
    """Read what a file of safetensors says of its tensors. Raises: NotAPipeline.

    Source: the format of safetensors: 8 bytes, the length of the header; the header, JSON; the data.
    """
    path = folder.folder / file
    try:
        size = path.stat().st_size
        with path.open("rb") as opened:
            length = int.from_bytes(opened.read(8), "little")
            if not 2 <= length <= min(MAX_HEADER, size - 8):
                raise ValueError("it has no header")
            header = json.loads(opened.read(length))
        header.pop("__metadata__", None)
        end = 8 + length + max((tensor["data_offsets"][1] for tensor in header.values()), default=0)
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise folder.fault(file, f"not safetensors ({error}); fetch or save it again") from error
    if end != size:
        raise folder.fault(file, f"has {size:,} bytes of {end:,}; fetch or save it again")
    return header


def _check_tensors(folder: PipelineFolder, file: str, header: Header) -> None:
    if not header:
        raise folder.fault(file, "it holds no tensors; fetch or save it again")
    for name, tensor in header.items():
        if LORA.search(f".{name}."):
            raise folder.fault(
                file,
                f"{name}: saved with a LoRA that was not fused; load the pipeline, call fuse_lora() and "
                "unload_lora_weights(), and save it again",
            )
        if tensor["dtype"] not in FLOATS and not name.endswith("position_ids"):
            raise folder.fault(
                file, f"{name} is {tensor['dtype']}: quantised weights cannot be tuned; use plain ones"
            )


def _missing_weights(folder: PipelineFolder, component: str, stem: str) -> str:
    prefix = f"{component}/"
    names = [name.removeprefix(prefix) for name in sorted(folder.files) if name.startswith(prefix)]
    pickles = [name for name in names if name.endswith(PICKLES)]
    if pickles:
        return (
            f"its weights are {pickles[0]} alone, a pickle, which is a program and is never read; load the "
            "pipeline with diffusers and save it, which writes safetensors"
        )
    others = [name for name in names if name.endswith(".safetensors")]
    beside = f", there is {', '.join(others)}" if others else ""
    return f"no weights; wanted {stem}.safetensors{beside}"


def _shards(folder: PipelineFolder, index: str) -> Iterator[str]:
    component, _, name = index.rpartition("/")
    weights = folder.read_json(index).get("weight_map")
    if not isinstance(weights, dict) or not weights:
        raise folder.fault(index, "it has no weight_map; fetch or save it again")
    for shard in sorted(set(map(str, weights.values()))):
        file = f"{component}/{shard}"
        if file not in folder.files:
            raise folder.fault(file, f"it is missing, and {name} names it; fetch it")
        yield file

"""Weights in files: read whole and with nothing else in them, and loaded into a model strictly."""

from __future__ import annotations

import logging
import pickle
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from rewardmodel.learning.errors import CheckpointError
from rewardmodel.learning.model.backbones.layouts import StoredWeights

WRAPPINGS = ("state_dict", "model")  # what training scripts put a state dict under
DISTRIBUTED = "module."  # what DistributedDataParallel puts before each name

logger = logging.getLogger(__name__)


def read_weights(file: Path) -> StoredWeights:
    """Read every tensor of a safetensors file, or of what torch.save wrote, code never being run.

    Raises: CheckpointError when the file is missing, truncated, holds code, or a weight that is no number.
    """
    try:
        tensors = load_file(file) if file.suffix == ".safetensors" else _read_pickle(file)
    except FileNotFoundError:
        raise CheckpointError(f"{file}: no such file") from None
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"{file}: truncated, or no safetensors file ({error})") from error
    distributed = bool(tensors) and all(name.startswith(DISTRIBUTED) for name in tensors)
    if distributed:
        logger.warning("%s: saved by DistributedDataParallel; took %r off its names", file, DISTRIBUTED)
        tensors = {name.removeprefix(DISTRIBUTED): tensor for name, tensor in tensors.items()}
    broken = [
        name for name, each in tensors.items() if each.is_floating_point() and not each.isfinite().all()
    ]
    if broken:
        raise CheckpointError(f"{file}: weights that are no finite numbers: {', '.join(sorted(broken))}")
    return StoredWeights(file, tensors, distributed)


def _read_pickle(file: Path) -> dict[str, Tensor]:
    if file.exists() and file.stat().st_size == 0:
        raise CheckpointError(f"{file}: empty")
    try:
        content: Any = torch.load(file, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise
    except pickle.UnpicklingError as error:
        named = re.search(r"GLOBAL ([\w.]+)", str(error))
        if named is None:  # torch's message would advise to run whatever it is
            raise CheckpointError(f"{file}: not what torch.save writes of weights") from None
        raise CheckpointError(
            f"{file}: holds code beside weights ({named[1]}), which opening it would run; save "
            "its state_dict alone, as safetensors or with torch.save"
        ) from None
    except (EOFError, OSError, RuntimeError, LookupError, ValueError, AttributeError, TypeError) as error:
        if "TorchScript" in str(error):
            raise CheckpointError(f"{file}: a TorchScript program, not weights alone") from error
        raise CheckpointError(f"{file}: truncated, or not what torch.save writes ({error})") from error
    for key in WRAPPINGS:
        if isinstance(content, Mapping) and isinstance(content.get(key), Mapping):
            content = content[key]
    if not isinstance(content, Mapping) or not content:
        raise CheckpointError(f"{file}: holds {type(content).__name__}, not weights by name")
    others = sorted(str(name) for name, value in content.items() if not isinstance(value, Tensor))
    if others:
        raise CheckpointError(f"{file}: holds more than weights: {', '.join(others)}")
    return dict(content)


def load_state_dict(
    model: nn.Module, weights: Mapping[str, Tensor], *, source: Path, fresh: tuple[str, ...] = ()
) -> None:
    """Load these weights into the model, strictly, as float32.

    Args: fresh: prefixes of the names that keep what the model has.
    Raises: CheckpointError listing what is missing, unexpected or of another shape.
    """
    expected = {name: each for name, each in model.state_dict().items() if not name.startswith(fresh or "\0")}
    problems = [f"missing {name}" for name in sorted(expected.keys() - weights.keys())]
    problems += [f"unexpected {name}" for name in sorted(weights.keys() - expected.keys())]
    problems += [
        f"{name} is {list(weights[name].shape)}, not {list(expected[name].shape)}"
        for name in sorted(expected.keys() & weights.keys())
        if weights[name].shape != expected[name].shape
    ]
    if problems:
        raise CheckpointError(f"{source}: another architecture: " + "; ".join(problems))
    model.load_state_dict(
        {name: tensor.float() for name, tensor in weights.items()}, strict=not fresh, assign=True
    )

"""What a run needs to resume, on disk: written whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from rewardmodel.learning.checkpoints import CheckpointError
from rewardmodel.learning.config import RewardConfig

STATE = "state.pt"


def write(folder: Path, state: Mapping[str, Any]) -> None:
    """Put the state in place of the last one."""
    written = folder / f"{STATE}.new"
    with written.open("wb") as file:
        torch.save(dict(state), file)
        file.flush()
        os.fsync(file.fileno())
    os.replace(written, folder / STATE)


def read(folder: Path, *, config: RewardConfig, data: str) -> dict[str, Any] | None:
    """The saved state, None without one. Raises: CheckpointError when it is another run's."""
    file = folder / STATE
    if not file.exists():
        return None
    state: dict[str, Any] = torch.load(file, map_location="cpu", weights_only=True)
    if RewardConfig(**state["config"]) != config or state["data"] != data:
        raise CheckpointError(f"{file}: saved by a run with another config or dataset")
    return state


def forget(folder: Path) -> None:
    """Throw away what resuming needs, which is larger than the checkpoint: the run is over and recorded."""
    (folder / STATE).unlink(missing_ok=True)


def chance(device: torch.device) -> Iterator[Tensor]:
    """States of the generators that dropout draws from."""
    yield torch.get_rng_state()
    if device.type == "cuda":
        yield torch.cuda.get_rng_state(device)


def set_chance(states: list[Tensor], device: torch.device) -> None:
    """Draw on from where `chance` was asked."""
    torch.set_rng_state(states[0])
    if device.type == "cuda":
        torch.cuda.set_rng_state(states[1], device)

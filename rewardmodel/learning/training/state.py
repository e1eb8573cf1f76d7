"""The file from which a run resumes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from torch import Tensor

from rewardmodel.learning.config import RewardConfig
from rewardmodel.learning.errors import CheckpointError
from rewardmodel.learning.saving import write_whole
from rewardmodel.learning.training.distributed import ProcessGroup

STATE = "state.pt"
KEYS = {
    *("config", "data", "done", "best", "best_step"),
    *("model", "objective", "optimiser", "average", "chance"),
}
AFRESH = "without the file, the run begins anew"


def write(folder: Path, state: Mapping[str, Any]) -> None:
    """Put the state in place of the last one. Raises: NotSaved, the last one being as it was."""
    with write_whole(folder / STATE) as written:
        torch.save(dict(state), written)


def read(folder: Path, *, config: RewardConfig, data: str) -> dict[str, Any] | None:
    """Return the saved state, or None. Raises: CheckpointError when it is another run's, or broken."""
    file = folder / STATE
    if not file.exists():
        return None
    try:
        state: dict[str, Any] = torch.load(file, map_location="cpu", weights_only=True)
        saved = RewardConfig(**state["config"])
        lacking = sorted(KEYS - state.keys())
    except UnpicklingError:  # torch's message would advise to run whatever it is
        raise CheckpointError(f"{file}: no state to resume from (no run writes such); {AFRESH}") from None
    except (OSError, RuntimeError, EOFError, LookupError, TypeError, ValueError) as error:
        reason = str(error).partition("\n")[0]
        raise CheckpointError(f"{file}: no state to resume from ({reason}); {AFRESH}") from error
    if lacking:
        raise CheckpointError(f"{file}: saved by an older version, without {', '.join(lacking)}; {AFRESH}")
    if saved != config or state["data"] != data:
        raise CheckpointError(f"{file}: saved by a run with another config or dataset; {AFRESH}")
    return state


def discard_state(folder: Path) -> None:
    """Delete the state, which is larger than the checkpoint: the run is over and recorded."""
    (folder / STATE).unlink(missing_ok=True)


def seed_per_rank(seed: int, group: ProcessGroup) -> None:
    """Seed each process differently: alike, they would drop the same units of different images."""
    if group.rank > 0:
        torch.manual_seed(seed + 1000 * group.rank)


def rng_state(device: torch.device) -> list[Tensor]:
    """States of the generators that dropout draws from."""
    states = [torch.get_rng_state()]
    if device.type == "cuda":
        states.append(torch.cuda.get_rng_state(device))
    return states


def set_rng_state(states_by_rank: list[list[Tensor]], group: ProcessGroup) -> None:
    """Restore this process's `rng_state`, or leave it as seeded if the run had other processes then."""
    if len(states_by_rank) != group.size:
        return
    states = states_by_rank[group.rank]
    torch.set_rng_state(states[0])
    if group.device.type == "cuda":
        torch.cuda.set_rng_state(states[1], group.device)

"""Where a model computes: the device that was named, or the best one that this machine has."""

from __future__ import annotations

from typing import Any

import torch

from rewardmodel.learning.errors import PermanentError


class DeviceError(PermanentError):
    """This machine has no such device; the message says what it has."""


def device_or_default(device: Any = None) -> torch.device:
    """Return the device named; without one, a GPU if there is one. Raises: DeviceError."""
    if device is None:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        named = torch.device(device)
        torch.empty(0, device=named)
    except (RuntimeError, AssertionError, TypeError, NotImplementedError) as error:
        reason = str(error).strip().partition("\n")[0].partition(". ")[0]
        raise DeviceError(f"device {str(device)!r} cannot be used here: {reason}. {_present()}") from error
    return named


def _present() -> str:
    gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
    return f"There are cpu and {gpus} of cuda." if gpus else "There is cpu alone."

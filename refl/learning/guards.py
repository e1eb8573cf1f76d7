"""What stops a run before it spoils its weights."""

from __future__ import annotations

import math

from rewardmodel.learning.errors import PermanentError


class Diverged(PermanentError):
    """A gradient is not finite: the weights would be lost."""


def check_gradient(norm: float) -> None:
    """Raises: Diverged."""
    if not math.isfinite(norm):
        raise Diverged(f"the gradient's norm is {norm}")

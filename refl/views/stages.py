"""What the pages of a tuning show of its method, and of its stages where it has several."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from refl.learning.config import TuningConfig


def read_config(fields: Mapping[str, Any]) -> TuningConfig | None:
    """Return a stored configuration; None of one that this version cannot read: its page must open."""
    try:
        return TuningConfig(**fields)
    except (TypeError, ValueError):
        return None

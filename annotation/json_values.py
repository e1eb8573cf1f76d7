"""What Postgres can store of a JSON value: JSON itself allows more."""

from __future__ import annotations

import math
from collections.abc import Iterator

DEEPEST = 64  # levels; ours: nothing here needs ten, and Python's own limit ends a request in an error


def is_storable_text(text: str) -> bool:
    """Return whether the text has neither a NUL nor half a surrogate pair."""
    if "\0" in text:
        return False
    return text.isascii() or not any("\ud800" <= letter <= "\udfff" for letter in text)


def why_not_storable(value: object) -> str | None:
    """Return why a decoded JSON value cannot be stored, as the end of "it has ...", or None if it can."""
    level: list[object] = [value]
    for _ in range(DEEPEST + 1):
        for item in level:
            if isinstance(item, str) and not is_storable_text(item):
                return "a text with a NUL or with half a surrogate pair"
            if isinstance(item, float) and not math.isfinite(item):
                return "a number that is too large, or none"
        level = [inner for item in level for inner in _within(item)]
        if not level:
            return None
    return f"more than {DEEPEST} levels"


def _within(value: object) -> Iterator[object]:
    if isinstance(value, dict):
        yield from value
        yield from value.values()
    elif isinstance(value, list):
        yield from value

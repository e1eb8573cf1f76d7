"""What a scorer has done since it started, for whoever watches it."""

from __future__ import annotations

from collections import Counter
from threading import Lock
from typing import Any


class Metrics:
    """Counters that threads share. `batches`: how many, by their images and their requests."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._events: Counter[str] = Counter()
        self._batches: Counter[tuple[int, int]] = Counter()

    def count(self, event: str, number: int = 1) -> None:
        with self._lock:
            self._events[event] += number

    def count_batch(self, *, images: int, requests: int) -> None:
        with self._lock:
            self._events["images"] += images
            self._batches[images, requests] += 1

    def snapshot(self) -> dict[str, Any]:
        """As JSON: events, and batches as [images, requests, how many]."""
        with self._lock:
            batches = [[*sizes, count] for sizes, count in sorted(self._batches.items())]
            return {**self._events, "batches": batches}

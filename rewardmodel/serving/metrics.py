"""What a scorer has done since it started, for whoever watches it."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from threading import Lock
from typing import Any

# Seconds from a request to its answer: upper ends of what is counted together; longer ones are counted last.
LATENCIES = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 60.0)


class Metrics:
    """Counters that threads share. `batches`: how many, by their images and their requests."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._latencies = [0] * (len(LATENCIES) + 1)
        self._seconds = 0.0
        self._events: Counter[str] = Counter()
        self._batches: Counter[tuple[int, int]] = Counter()

    def count(self, event: str, number: int = 1) -> None:
        with self._lock:
            self._events[event] += number

    def count_batch(self, *, images: int, requests: int) -> None:
        with self._lock:
            self._events["images"] += images
            self._batches[images, requests] += 1

    def count_latency(self, seconds: float) -> None:
        with self._lock:
            self._latencies[bisect_left(LATENCIES, seconds)] += 1
            self._seconds += seconds

    def snapshot(self) -> dict[str, Any]:
        """As JSON: events; batches as [images, requests, how many]; answers by LATENCIES, their seconds."""
        with self._lock:
            batches = [[*sizes, count] for sizes, count in sorted(self._batches.items())]
            latency = {"latencies": list(self._latencies), "latency_seconds": self._seconds}
            return {**self._events, "batches": batches, **latency}

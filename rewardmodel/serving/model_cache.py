"""Reward models that are loaded already, within a budget of memory."""

from __future__ import annotations

import logging
import time
from collections import OrderedDict
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rewardmodel.learning.scoring import Scorer

logger = logging.getLogger(__name__)
Stamp = tuple[tuple[int, int], ...] | None


class ModelCache:
    """The models that were used last. Threads share it; a model that is let go of ends with its last request.

    Args:
        memory: bytes of weights to keep at most; the model in use is kept however large it is.
        device: where they compute; None: on a GPU if there is one.
        path: returns a location as this machine has it, of what whoever asks calls it.
        copy: provides what lies at a path, where it lies elsewhere.
    """

    def __init__(
        self,
        *,
        memory: int,
        device: str | None,
        path: Callable[[str], str] = str,
        copy: Callable[[str], AbstractContextManager[Path | str]] = nullcontext,
    ) -> None:
        self.memory, self.device = memory, device
        self._path, self._copy = path, copy
        self._models: OrderedDict[str, tuple[Stamp, Scorer, int]] = OrderedDict()  # the last used at the end
        self._lock, self._loading = Lock(), Lock()

    def get(self, location: str) -> Scorer:
        """The model there as it is now, loaded unless it is warm. Raises: CheckpointError."""
        location = self._path(location)
        stamp = _stamp(location)
        found = self._find(location, stamp)
        if found is not None:
            return found
        with self._loading:  # one at a time: the second who asks for it finds it warm
            return self._find(location, stamp) or self._load(location, stamp)

    def clear(self) -> None:
        """Let go of all models."""
        with self._lock:
            if self._models:
                logger.info("let go of %s", ", ".join(self._models))
            self._models.clear()

    def describe(self) -> list[dict[str, object]]:
        with self._lock:
            return [{"location": name, "bytes": size} for name, (_, _, size) in self._models.items()]

    def _find(self, location: str, stamp: Stamp) -> Scorer | None:
        with self._lock:
            if location not in self._models or self._models[location][0] != stamp:
                return None
            self._models.move_to_end(location)
            return self._models[location][1]

    def _load(self, location: str, stamp: Stamp) -> Scorer:
        begun = time.monotonic()
        from rewardmodel.learning import load

        with self._copy(location) as place:
            scorer = load(str(place), self.device)
        size = sum(weights.numel() * weights.element_size() for weights in scorer.model.parameters())
        with self._lock:
            self._models.pop(location, None)
            self._models[location] = (stamp, scorer, size)
            while len(self._models) > 1 and sum(kept for _, _, kept in self._models.values()) > self.memory:
                logger.info("let go of %s", self._models.popitem(last=False)[0])
        logger.info(
            "loaded %s: %.0f MB on %s in %.1f s",
            location, size / 1e6, scorer.device, time.monotonic() - begun,
        )  # fmt: skip
        return scorer


def _stamp(location: str) -> Stamp:
    """Which checkpoint lies there: its files change when it gives way to another; None for one that lies
    elsewhere, in a storage or on a hub, which is loaded once."""
    place = Path(location)
    try:
        found = [file.stat() for file in ([place] if place.is_file() else sorted(place.iterdir()))]
    except OSError:
        return None
    return tuple((file.st_ino, file.st_ctime_ns) for file in found)

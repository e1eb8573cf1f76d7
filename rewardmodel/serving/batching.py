"""Requests that wait, and the one thread that scores them: as many images at a time as have come together."""

from __future__ import annotations

import logging
import math
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from threading import Condition, Event
from typing import TYPE_CHECKING

from rewardmodel.serving.metrics import Metrics

if TYPE_CHECKING:
    from torch import Tensor

    from rewardmodel.learning.scoring import Scorer

logger = logging.getLogger(__name__)


@dataclass
class Request:
    """The images of one request, prepared; and, once `done` is set, what came of them.

    Attributes:
        is_wanted: whether somebody still waits for it.
        answer: a message of the wire; None where nobody wanted it any more.
    """

    scorer: Scorer
    prompts: Sequence[str]
    pixels: Sequence[Tensor]
    is_wanted: Callable[[], bool]
    scores: list[float] = field(default_factory=list)
    truncated: list[bool] = field(default_factory=list)
    answer: dict[str, object] | None = None
    done: Event = field(default_factory=Event)

    @property
    def left(self) -> int:
        """Images without a score."""
        return len(self.prompts) - len(self.scores)

    def end(self, answer: dict[str, object] | None) -> None:
        self.answer = answer
        self.done.set()


class BatchQueue:
    """The queue and its thread.

    Nothing waits for company: who comes alone is scored alone, and what comes meanwhile is the next batch.

    Args:
        limit: images of a batch at most.
        idle: called each time nothing came for so many seconds.
    """

    def __init__(
        self, *, limit: int, metrics: Metrics, idle: Callable[[], None], idle_seconds: float
    ) -> None:
        self.limit, self.metrics = limit, metrics
        self.idle, self.idle_seconds = idle, idle_seconds
        self._requests: deque[Request] = deque()
        self._changed = Condition()

    def put(self, request: Request) -> None:
        with self._changed:
            self._requests.append(request)
            self._changed.notify()

    def run(self) -> None:
        """Score for ever."""
        while True:
            parts = self._take()
            if parts:
                self._score(parts)

    def _take(self) -> list[tuple[Request, int]]:
        """The next batch: requests of one model, with how many images of each; empty after a long wait."""
        with self._changed:
            if not self._changed.wait_for(lambda: self._requests, timeout=self.idle_seconds):
                self.idle()
                return []
            self._drop_unwanted()
            parts: list[tuple[Request, int]] = []
            room = self.limit
            for request in self._requests:
                if room and (not parts or request.scorer is parts[0][0].scorer):
                    parts.append((request, min(room, request.left)))
                    room -= parts[-1][1]
            for request, count in parts:
                if count == request.left:
                    self._requests.remove(request)
            return parts

    def _drop_unwanted(self) -> None:
        for request in [request for request in self._requests if not request.is_wanted()]:
            self._requests.remove(request)
            self.metrics.count("dropped")
            request.end(None)

    def _score(self, parts: list[tuple[Request, int]]) -> None:
        scorer = parts[0][0].scorer
        prompts = [text for request, count in parts for text in _next(request.prompts, request, count)]
        pixels = [one for request, count in parts for one in _next(request.pixels, request, count)]
        begun = time.monotonic()
        try:
            scores, truncated = scorer.score_pixels(prompts, pixels), scorer.truncated(prompts)
        except (RuntimeError, MemoryError, IndexError) as error:  # torch's: above all, out of memory
            if _has_lost_the_device(error):
                raise
            logger.exception("a batch of %d images of %d requests failed", len(pixels), len(parts))
            if len(parts) > 1:  # only whose it is shall have it: the others may do by themselves
                for part in parts:
                    self._score([part])
                return
            self._fail(parts[0][0], f"the scorer could not compute ({str(error).partition(chr(10))[0]})")
            return
        self.metrics.count_batch(images=len(pixels), requests=len(parts))
        self.metrics.count("milliseconds", round(1000 * (time.monotonic() - begun)))
        for request, count in parts:
            request.scores += scores[:count]
            request.truncated += truncated[:count]
            del scores[:count], truncated[:count]
            if not request.left:
                request.end(_answer_of(request))

    def _fail(self, request: Request, why: str) -> None:
        with self._changed:
            if request in self._requests:
                self._requests.remove(request)
        request.end({"failed": why})


def _has_lost_the_device(error: Exception) -> bool:
    """Whether a GPU computes nothing more in this process. Being out of memory is another error."""
    import torch

    return isinstance(error, torch.AcceleratorError)


def _next(rows: Sequence, request: Request, count: int) -> Sequence:  # type: ignore[type-arg]  # prompts or pixels
    done = len(request.scores)
    return rows[done : done + count]


def _answer_of(request: Request) -> dict[str, object]:
    if all(map(math.isfinite, request.scores)):
        return {"scores": request.scores, "truncated": request.truncated}
    return {"broken": "its scores are not finite numbers"}

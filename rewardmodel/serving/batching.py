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

from rewardmodel.serving.counts import Counts

if TYPE_CHECKING:
    from torch import Tensor

    from rewardmodel.learning.scoring import Scorer

logger = logging.getLogger(__name__)


@dataclass
class Job:
    """The images of one request, prepared; and, once `over` is set, what came of them.

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
    over: Event = field(default_factory=Event)

    @property
    def left(self) -> int:
        """Images without a score."""
        return len(self.prompts) - len(self.scores)

    def end(self, answer: dict[str, object] | None) -> None:
        self.answer = answer
        self.over.set()


class Batches:
    """The queue and its thread.

    Nothing waits for company: who comes alone is scored alone, and what comes meanwhile is the next batch.

    Args:
        limit: images of a batch at most.
        idle: called each time nothing came for so many seconds.
    """

    def __init__(self, *, limit: int, counts: Counts, idle: Callable[[], None], idle_seconds: float) -> None:
        self.limit, self.counts = limit, counts
        self.idle, self.idle_seconds = idle, idle_seconds
        self._jobs: deque[Job] = deque()
        self._changed = Condition()

    def put(self, job: Job) -> None:
        with self._changed:
            self._jobs.append(job)
            self._changed.notify()

    def run(self) -> None:
        """Score for ever."""
        while True:
            parts = self._take()
            if parts:
                self._score(parts)

    def _take(self) -> list[tuple[Job, int]]:
        """The next batch: jobs of one model with how many of their images; empty when none came for long."""
        with self._changed:
            if not self._changed.wait_for(lambda: self._jobs, timeout=self.idle_seconds):
                self.idle()
                return []
            self._drop_unwanted()
            parts: list[tuple[Job, int]] = []
            room = self.limit
            for job in self._jobs:
                if room and (not parts or job.scorer is parts[0][0].scorer):
                    parts.append((job, min(room, job.left)))
                    room -= parts[-1][1]
            for job, count in parts:
                if count == job.left:
                    self._jobs.remove(job)
            return parts

    def _drop_unwanted(self) -> None:
        for job in [job for job in self._jobs if not job.is_wanted()]:
            self._jobs.remove(job)
            self.counts.note("dropped")
            job.end(None)

    def _score(self, parts: list[tuple[Job, int]]) -> None:
        scorer = parts[0][0].scorer
        prompts = [text for job, count in parts for text in _next(job.prompts, job, count)]
        pixels = [one for job, count in parts for one in _next(job.pixels, job, count)]
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
        self.counts.note_batch(images=len(pixels), requests=len(parts))
        self.counts.note("milliseconds", round(1000 * (time.monotonic() - begun)))
        for job, count in parts:
            job.scores += scores[:count]
            job.truncated += truncated[:count]
            del scores[:count], truncated[:count]
            if not job.left:
                job.end(_told(job))

    def _fail(self, job: Job, why: str) -> None:
        with self._changed:
            if job in self._jobs:
                self._jobs.remove(job)
        job.end({"failed": why})


def _has_lost_the_device(error: Exception) -> bool:
    """Whether a GPU computes nothing more in this process. Being out of memory is another error."""
    import torch

    return isinstance(error, torch.AcceleratorError)


def _next(rows: Sequence, job: Job, count: int) -> Sequence:  # type: ignore[type-arg]  # prompts or pixels
    done = len(job.scores)
    return rows[done : done + count]


def _told(job: Job) -> dict[str, object]:
    if all(map(math.isfinite, job.scores)):
        return {"scores": job.scores, "truncated": job.truncated}
    return {"broken": "its scores are not finite numbers"}

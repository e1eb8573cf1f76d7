"""How a training process is asked to stop, and how it ends when its parent is gone."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import sleep
from types import FrameType

WATCH_SECONDS = 0.5


@contextmanager
def stopping_at_signals() -> Iterator[Callable[[], bool]]:
    """Within, SIGTERM and SIGINT only make the yielded function return True."""
    stop_requested = threading.Event()

    def stop(number: int, frame: FrameType | None) -> None:
        stop_requested.set()

    before = {number: signal.signal(number, stop) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield stop_requested.is_set
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def end_with_parent() -> None:
    """Kill this process when its parent dies: torchrun's children outlive it, and may be stuck."""
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            sleep(WATCH_SECONDS)
        os.kill(os.getpid(), signal.SIGKILL)

    threading.Thread(target=watch, name="watch of the parent", daemon=True).start()

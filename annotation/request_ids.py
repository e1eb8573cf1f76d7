"""The id of the request that this thread works for, from a page over the broker to a run, for logs."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from uuid import uuid4

LENGTH = 64
META = "laurel.request_id"  # where a request has it, among what the server said of it
VARIABLE = "LAUREL_REQUEST_ID"  # in the environment of a run's process, for all its threads
WELL_FORMED = re.compile(rf"[A-Za-z0-9][A-Za-z0-9._-]{{7,{LENGTH - 1}}}")

_OF_PROCESS = os.environ.get(VARIABLE, "")
_current: ContextVar[str] = ContextVar("request_id", default=_OF_PROCESS)


def current() -> str:
    """Return the id of the request at hand; empty outside of any."""
    return _current.get()


def accept_or_make(given: str) -> str:
    """Return the id that whoever asks gave, if it is well-formed and so safe in a log, else a new one."""
    return given if WELL_FORMED.fullmatch(given) else uuid4().hex


def set_current(request_id: str) -> None:
    """Name the request that this thread works for from now on; empty: none."""
    _current.set(request_id)


@contextmanager
def working_for(request_id: str) -> Iterator[None]:
    """Name the request at hand, within the block and in this thread."""
    token = _current.set(request_id)
    try:
        yield
    finally:
        _current.reset(token)

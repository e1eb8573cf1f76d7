"""Waiting for the database: as long as it takes while it lives, and not for one that hangs."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator
from functools import partial
from typing import Any

import psycopg
from django.db.backends.base.base import BaseDatabaseWrapper

SILENCE_SECONDS = 5.0  # without a byte of it, whether it still answers others is looked at


class DatabaseSilent(psycopg.OperationalError):
    """The database answered neither a statement nor whoever looked whether it is alive."""


def give_up_on_silence(
    connection: BaseDatabaseWrapper,
    *,
    is_alive: Callable[[], bool],
    seconds: float = SILENCE_SECONDS,
    **signal: Any,
) -> None:
    """Let statements on this open connection raise DatabaseSilent where the database hangs; then close it.

    libpq waits for the next byte without end: for a process that is stopped the system still takes what is
    sent, so that neither keepalives nor `tcp_user_timeout` notice; over a Unix socket there are none. A
    statement that takes long is told apart by asking the database something else.

    Args: is_alive: asked after each so many seconds of silence; should answer within a few.
    """
    opened: psycopg.Connection[Any] = connection.connection
    wait = opened.wait

    def wait_while_alive(work: Generator[Any, Any, Any], *arguments: Any, **options: Any) -> Any:
        return wait(_watch(work, opened, is_alive, seconds), *arguments, **options)

    opened.wait = wait_while_alive  # type: ignore[method-assign, assignment]


def watch_connections(is_alive: Callable[[], bool]) -> None:
    """Let no statement on a connection opened from now on wait for a database that hangs."""
    from django.db.backends.signals import connection_created

    connection_created.connect(partial(give_up_on_silence, is_alive=is_alive), weak=False)


def _watch(
    work: Generator[Any, Any, Any],
    connection: psycopg.Connection[Any],
    is_alive: Callable[[], bool],
    seconds: float,
) -> Generator[Any, Any, Any]:
    """Do psycopg's work, which yields what it waits for and is sent 0 ten times a second until that comes.

    Raises: DatabaseSilent.
    """
    ready, heard = None, time.monotonic()
    while True:
        try:
            ready = yield work.send(ready)
        except StopIteration as end:
            return end.value
        now = time.monotonic()
        if ready:
            heard = now
        elif now - heard > seconds:
            if not is_alive():
                connection.pgconn.finish()  # its answer, should it come, is nobody's
                raise DatabaseSilent(f"the database was silent for {now - heard:.0f} s, and answers nobody")
            heard = time.monotonic()

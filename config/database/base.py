"""Connections that keep nothing from one transaction to the next, and are looked at before a request."""

from __future__ import annotations

import select
import time
from typing import Any

from django.db.backends.postgresql import base

CHECKED_SECONDS = 10.0  # how old an answer of the server may be; ours


class DatabaseWrapper(base.DatabaseWrapper):
    """Django's, with cursors in the server only where a transaction holds them.

    Outside of transactions Django lets `iterator()` read from a cursor that outlives its statement. Where a
    pooler gives each transaction another connection, that cursor is on the one before. There the rows are
    fetched at once; whoever reads more of them than memory should hold opens a transaction around.
    """

    def chunked_cursor(self) -> Any:
        return super().chunked_cursor() if self.in_atomic_block else self.cursor()

    health_check_enabled: bool
    health_check_done: bool
    _checked_at = float("-inf")  # when the server last answered, by the monotonic clock

    def close_if_health_check_failed(self) -> None:
        """Ask the server before a request, as Django does, unless it answered lately and the socket is quiet.

        A server that ends a connection says so at the socket: where nothing is to be read there, asking would
        only cost each request a statement more.
        """
        is_due = self.health_check_enabled and not self.health_check_done
        if self.connection is not None and is_due and self._answered_lately():
            self.health_check_done = True
        super().close_if_health_check_failed()

    def is_usable(self) -> bool:
        is_usable: bool = super().is_usable()
        self._checked_at = time.monotonic() if is_usable else float("-inf")
        return is_usable

    def init_connection_state(self) -> None:
        """Let Postgres plan what is prepared here once, whatever the values.

        Otherwise it compares guesses of costs, and may find it cheaper to plan a claim each time, which takes
        three times as long as running it.
        """
        super().init_connection_state()
        if self.connection.prepare_threshold is not None:
            self.connection.execute("SET plan_cache_mode = force_generic_plan")
            self.connection.commit()

    def connect(self) -> None:
        super().connect()
        self._checked_at = time.monotonic()

    def _answered_lately(self) -> bool:
        if time.monotonic() - self._checked_at > CHECKED_SECONDS:
            return False
        socket = select.poll()
        socket.register(self.connection.pgconn.socket, select.POLLIN)
        return not socket.poll(0)

"""Connections that keep nothing from one transaction to the next, and are looked at before a request."""

from __future__ import annotations

import select
import time
from typing import Any

from django.db.backends.postgresql import base

CHECKED_SECONDS = 10.0  # how old an answer of the server may be; ours
# Options of libpq for when the server is gone, and what the server calls the same for when this host is.
GONE = {
    "keepalives_idle": "tcp_keepalives_idle",
    "keepalives_interval": "tcp_keepalives_interval",
    "keepalives_count": "tcp_keepalives_count",
    "tcp_user_timeout": "tcp_user_timeout",
}


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
        """Say once how the server is to treat this connection.

        - What is prepared here it plans once, whatever the values. Otherwise it compares guesses of cost, and
          may find it cheaper to plan a claim each time, which takes three times as long as running it.
        - When this host is gone it notices as soon as libpq would the other way round. Of one that lost its
          power it hears nothing, and would keep its transaction and all locks for as long as TCP waits: two
          hours. Behind a pooler this is said of the pooler's connection, whose business it is too.
        """
        super().init_connection_state()
        options = self.settings_dict["OPTIONS"]
        values = {GONE[name]: str(value) for name, value in options.items() if name in GONE}
        if self.connection.prepare_threshold is not None:
            values["plan_cache_mode"] = "force_generic_plan"
        if values:
            settings = ", ".join(["set_config(%s, %s, false)"] * len(values))
            self.connection.execute(f"SELECT {settings}", [text for each in values.items() for text in each])
            self.connection.commit()

    def connect(self) -> None:
        super().connect()
        self._checked_at = time.monotonic()

    def _answered_lately(self) -> bool:
        if self.connection.closed or time.monotonic() - self._checked_at > CHECKED_SECONDS:
            return False
        socket = select.poll()
        socket.register(self.connection.pgconn.socket, select.POLLIN)
        return not socket.poll(0)

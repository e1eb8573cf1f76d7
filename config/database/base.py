"""Connections that keep nothing from one transaction to the next."""

from __future__ import annotations

from typing import Any

from django.db.backends.postgresql import base


class DatabaseWrapper(base.DatabaseWrapper):
    """Django's, with cursors in the server only where a transaction holds them.

    Outside of transactions Django lets `iterator()` read from a cursor that outlives its statement. Where a
    pooler gives each transaction another connection, that cursor is on the one before. There the rows are
    fetched at once; whoever reads more of them than memory should hold opens a transaction around.
    """

    def chunked_cursor(self) -> Any:
        return super().chunked_cursor() if self.in_atomic_block else self.cursor()

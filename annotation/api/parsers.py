"""JSON bodies of requests: what Postgres cannot store is refused before an endpoint sees it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rest_framework import parsers
from rest_framework.exceptions import ParseError

from annotation.json_values import DEEPEST, why_not_storable


class JSONParser(parsers.JSONParser):
    """JSON in UTF-8, of no more than DEEPEST levels, without NUL, lone surrogates and infinite numbers."""

    def parse(
        self, stream: Any, media_type: str | None = None, parser_context: Mapping[str, Any] | None = None
    ) -> Any:
        """Return the decoded body. Raises: ParseError."""
        try:
            value = super().parse(stream, media_type, parser_context)
        except RecursionError:
            raise ParseError(f"JSON parse error - it has more than {DEEPEST} levels") from None
        if reason := why_not_storable(value):
            raise ParseError(f"JSON parse error - it has {reason}")
        return value

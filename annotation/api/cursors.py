"""Cursor pagination of lists that grow while they are read."""

from __future__ import annotations

import base64
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Q
from django.utils import timezone
from rest_framework import serializers
from rest_framework.pagination import BasePagination
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.utils.urls import replace_query_param

DEFAULT, MOST = 100, 1000  # rows per page
OVERLAP = timedelta(seconds=10)  # time within which a submitted answer is surely committed


class SubmissionPages(BasePagination):
    """Rows in the order of their submission.

    A cursor is the moment and the id of the last row seen: late pages cost as much as the first, and new
    rows shift nothing. A row may become visible after rows that were submitted later; so the last page's
    cursor lies at least OVERLAP back, and rows submitted since are listed again.
    """

    def paginate_queryset(self, queryset: Any, request: Request, view: Any = None) -> list[Any]:
        """Return the page. Raises: ValidationError for an invalid cursor, or a limit out of range."""
        limit = _limit(request)
        rows = queryset.order_by("submitted_at", "pk")
        cursor = request.query_params.get("cursor")
        if cursor:
            moment, pk = _from_cursor(cursor)
            rows = rows.filter(Q(submitted_at__gt=moment) | Q(submitted_at=moment, pk__gt=pk))
        page = list(rows[: limit + 1])
        self.has_more = len(page) > limit
        page = page[:limit]
        self.cursor = self._end_cursor(page, timezone.now() - OVERLAP) or cursor
        self.address = request.build_absolute_uri()
        return page

    def _end_cursor(self, page: list[Any], settled: datetime) -> str | None:
        if not page:
            return None
        last = page[-1]
        if self.has_more or last.submitted_at <= settled:
            return _to_cursor(last.submitted_at, last.pk)
        return _to_cursor(settled, 0)

    def get_paginated_response(self, data: Any) -> Response:
        onward = replace_query_param(self.address, "cursor", self.cursor) if self.has_more else None
        return Response({"next": onward, "cursor": self.cursor, "results": data})

    def get_paginated_response_schema(self, schema: dict[str, Any]) -> dict[str, Any]:
        return {
            "type": "object",
            "required": ["next", "cursor", "results"],
            "properties": {
                "next": {"type": "string", "format": "uri", "nullable": True},
                "cursor": {
                    "type": "string",
                    "nullable": True,
                    "description": "where this page ends: asked with it later, what came in since, "
                    "and the last seconds once more",
                },
                "results": schema,
            },
        }

    def get_schema_operation_parameters(self, view: Any) -> list[dict[str, Any]]:
        limit = {"type": "integer", "minimum": 1, "maximum": MOST, "default": DEFAULT}
        return [
            {"name": "cursor", "in": "query", "required": False, "schema": {"type": "string"}},
            {"name": "limit", "in": "query", "required": False, "schema": limit},
        ]


def _limit(request: Request) -> int:
    limit = request.query_params.get("limit", str(DEFAULT))
    if not limit.isdecimal() or len(limit) > len(str(MOST)) or not 1 <= int(limit) <= MOST:
        raise serializers.ValidationError({"limit": [f"Is no number from 1 to {MOST}."]})
    return int(limit)


def _to_cursor(moment: datetime, pk: int) -> str:
    return base64.urlsafe_b64encode(f"{moment.isoformat()} {pk}".encode()).decode().rstrip("=")


def _from_cursor(cursor: str) -> tuple[datetime, int]:
    try:
        text = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode("ascii")
        moment, pk = text.split(" ")
        submitted_at = datetime.fromisoformat(moment)
        if submitted_at.tzinfo is None or not 0 <= int(pk) < 2**63:
            raise ValueError
    except ValueError:  # includes binascii.Error and UnicodeDecodeError
        raise serializers.ValidationError({"cursor": ["Is no cursor that an answer told."]}) from None
    return submitted_at, int(pk)

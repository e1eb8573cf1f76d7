"""Descriptions of endpoints in the OpenAPI schema, beyond what drf-spectacular derives."""

from __future__ import annotations

from typing import Any

from drf_spectacular.openapi import AutoSchema

TOO_MANY = {"description": "Too many requests in this minute: ask again after Retry-After."}


class DescribedSchema(AutoSchema):
    """Each operation has the first sentence of its description beside its path.

    An endpoint that both reads and writes is described as "what it reads; or what it does".
    """

    def get_operation(self, *arguments: Any) -> dict[str, Any] | None:
        operation: dict[str, Any] | None = super().get_operation(*arguments)
        if operation is not None:
            operation["responses"].setdefault("429", TOO_MANY)
        return operation

    def get_summary(self) -> str | None:
        sentence = " ".join(self.get_description().split()).partition(". ")[0].rstrip(".")
        reads, _, does = sentence.partition("; or ")
        summary = does if does and self.method != "GET" else reads
        return summary[:1].upper() + summary[1:] or None

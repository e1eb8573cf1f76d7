"""Statements written by hand, for what people wait for all day long.

Django would assemble them from querysets at every request, which takes longer than running them. Postgres
parses and plans each of them once a connection, unless settings.PREPARE_STATEMENTS says otherwise.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

import psycopg
from django.db import connection, models

M = TypeVar("M", bound=models.Model)
Row = Sequence[Any]


def fetch_one(statement: str, values: Mapping[str, Any]) -> Row | None:
    """The first row of a statement, None where it gives none."""
    with connection.cursor() as cursor:
        # Django's own cursor writes the values into the text, so no two statements would be the same.
        cursor.cursor = psycopg.Cursor(cursor.connection)
        cursor.execute(statement, values)
        row: Row | None = cursor.fetchone()
        return row


def columns(model: type[models.Model], table: str) -> str:
    """What to select of a table that is called so in the statement, for `made_of`."""
    return ", ".join(f'{table}."{field.column}"' for field in model._meta.concrete_fields)


def made_of(model: type[M], row: Row) -> tuple[M, Row]:
    """The object that begins a row, and the rest of the row."""
    fields = model._meta.concrete_fields
    return model.from_db("default", [field.attname for field in fields], _read(fields, row)), row[
        len(fields) :
    ]


def _read(fields: Sequence[models.Field[Any, Any]], row: Row) -> list[Any]:
    """Values as Django hands them out: JSON comes as text."""
    return [
        json.loads(value) if value is not None and isinstance(field, models.JSONField) else value
        for field, value in zip(fields, row, strict=False)
    ]

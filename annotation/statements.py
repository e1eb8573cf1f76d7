"""Querysets that are turned into SQL once, for what people wait for all day long.

Django turns a queryset into SQL at every request, which takes longer than running it. Here the rules stay
querysets, with a Parameter for each value that changes, and Postgres parses and plans each statement once a
connection, unless settings.PREPARE_STATEMENTS says otherwise.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Any, Generic, TypeVar

import psycopg
from django.db import DEFAULT_DB_ALIAS, connection, models
from django.db.models.query import get_related_populators
from django.db.models.sql import UpdateQuery
from psycopg.sql import Literal

M = TypeVar("M", bound=models.Model)
Row = Sequence[Any]


class Parameter(models.Expression):
    """Stands in a queryset for a value that is given when the statement is run."""

    def __init__(self, name: str, kind: models.Field[Any, Any] | None = None) -> None:
        super().__init__(output_field=kind or models.Field())
        self.name = name

    def as_sql(self, compiler: Any, connection: Any) -> tuple[str, Any]:
        return "%s", [self]


class Statement(Generic[M]):
    """A queryset of whole objects as SQL, made when it is first asked.

    Args:
        build: makes the queryset.
        ahead: makes what stands before its SELECT: common table expressions.
    """

    def __init__(self, build: Callable[[], models.QuerySet[M]], *, ahead: Callable[[], str] = str) -> None:
        self.build, self.ahead = build, ahead

    def first(self, **values: Any) -> M | None:
        """The first object, with those it selects as related and its annotations, or None."""
        sql, read = self._compiled
        row = fetch_one(sql, values)
        return None if row is None else read(row)

    @cached_property
    def _compiled(self) -> tuple[str, Callable[[Row], M]]:
        """The SQL and what reads its rows, made together: two threads may both be first."""
        compiler = self.build().query.get_compiler(DEFAULT_DB_ALIAS)
        sql = self.ahead() + with_names(*compiler.as_sql())
        return sql, self._reader(compiler)

    def _reader(self, compiler: Any) -> Callable[[Row], M]:
        """What Django's ModelIterable does with a row, with all that it looks up looked up before."""
        select, fields = compiler.select, compiler.klass_info["select_fields"]
        model: type[M] = compiler.klass_info["model"]
        first, end = fields[0], fields[-1] + 1
        names = [column.target.attname for column, *_ in select[first:end]]
        converters = compiler.get_converters([column for column, *_ in select])
        populators: Any = get_related_populators  # the stubs are of a newer Django
        related = populators(compiler.klass_info, select, DEFAULT_DB_ALIAS)
        annotations = compiler.annotation_col_map.items()

        def read(row: Row) -> M:
            converted = next(compiler.apply_converters([row], converters)) if converters else row
            instance = model.from_db(DEFAULT_DB_ALIAS, names, converted[first:end])
            for populator in related:
                populator.populate(converted, instance)
            for name, position in annotations:
                setattr(instance, name, converted[position])
            return instance

        return read


def select(queryset: models.QuerySet[Any]) -> str:
    """The SQL of a queryset with Parameters, to be part of a statement."""
    return with_names(*queryset.query.sql_with_params())


def update(queryset: models.QuerySet[Any], **values: Any) -> str:
    """The SQL that would set these fields of a queryset's rows."""
    query: Any = queryset.order_by().query.chain(UpdateQuery)
    query.add_update_values(values)
    return with_names(*query.get_compiler(DEFAULT_DB_ALIAS).as_sql())


def with_names(sql: str, values: Sequence[Any]) -> str:
    """The SQL with its Parameters named as `fetch_one` fills them in, and its other values written out."""
    written = (
        f"%({value.name})s"
        if isinstance(value, Parameter)
        else Literal(value).as_string().replace("%", "%%")  # psycopg reads the result once more
        for value in values
    )
    return sql % tuple(written)


def fetch_one(statement: str, values: Mapping[str, Any]) -> Row | None:
    """The first row of a statement, or None."""
    with connection.cursor() as cursor:
        # Django's own cursor writes the values into the text, so no two statements would be the same.
        cursor.cursor = psycopg.Cursor(cursor.connection)
        cursor.execute(statement, values)
        row: Row | None = cursor.fetchone()
        return row

"""Querysets compiled to SQL once, for the most frequent requests.

Django turns a queryset into SQL at every request, which takes longer than running it. Here the rules stay
querysets, with a Parameter for each value that changes, and Postgres parses and plans each statement once
per connection, unless settings.PREPARE_STATEMENTS is off.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from functools import cache, cached_property
from typing import Any, Generic, TypeVar

import psycopg
from django.db import DEFAULT_DB_ALIAS, connection, models
from django.db.models.query import get_related_populators
from django.db.models.sql import UpdateQuery
from psycopg.sql import Literal

M = TypeVar("M", bound=models.Model)
Row = Sequence[Any]
PLACEHOLDER = re.compile(r"%(?:\((\w+)\)s|%)")


class Parameter(models.Expression):
    """A placeholder in a queryset for a value that is given when the statement is run."""

    def __init__(self, name: str, kind: models.Field[Any, Any] | None = None) -> None:
        super().__init__(output_field=kind or models.Field())
        self.name = name

    def as_sql(self, compiler: Any, connection: Any) -> tuple[str, Any]:
        return "%s", [self]


class Statement(Generic[M]):
    """A queryset of model instances as SQL, compiled at first use.

    Args:
        build: returns the queryset.
        ahead: returns the SQL before its SELECT: common table expressions.
    """

    def __init__(self, build: Callable[[], models.QuerySet[M]], *, ahead: Callable[[], str] = str) -> None:
        self.build, self.ahead = build, ahead

    def first(self, **values: Any) -> M | None:
        """Return the first object, with its related objects and annotations, or None."""
        sql, convert = self._compiled
        row = fetch_one(sql, values)
        return None if row is None else convert(row)

    @cached_property
    def _compiled(self) -> tuple[str, Callable[[Row], M]]:
        """The SQL and the converter of its rows, made together: two threads may both be first."""
        compiler = self.build().query.get_compiler(DEFAULT_DB_ALIAS)
        sql = self.ahead() + with_names(*compiler.as_sql())
        return sql, self._converter(compiler)

    def _converter(self, compiler: Any) -> Callable[[Row], M]:
        """A function from row to instance, like Django's ModelIterable, with its look-ups done in advance."""
        select, fields = compiler.select, compiler.klass_info["select_fields"]
        model: type[M] = compiler.klass_info["model"]
        first, end = fields[0], fields[-1] + 1
        names = [column.target.attname for column, *_ in select[first:end]]
        converters = compiler.get_converters([column for column, *_ in select])
        populators: Any = get_related_populators  # the stubs are of a newer Django
        related = populators(compiler.klass_info, select, DEFAULT_DB_ALIAS)
        annotations = compiler.annotation_col_map.items()

        def convert(row: Row) -> M:
            converted = next(compiler.apply_converters([row], converters)) if converters else row
            instance = model.from_db(DEFAULT_DB_ALIAS, names, converted[first:end])
            for populator in related:
                populator.populate(converted, instance)
            for name, position in annotations:
                setattr(instance, name, converted[position])
            return instance

        return convert


def select(queryset: models.QuerySet[Any]) -> str:
    """Return the SQL of a queryset with Parameters, to be part of a statement."""
    return with_names(*queryset.query.sql_with_params())


def update(queryset: models.QuerySet[Any], **values: Any) -> str:
    """Return the SQL of an UPDATE of a queryset's rows."""
    query: Any = queryset.order_by().query.chain(UpdateQuery)
    query.add_update_values(values)
    return with_names(*query.get_compiler(DEFAULT_DB_ALIAS).as_sql())


def with_names(sql: str, values: Sequence[Any]) -> str:
    """Return the SQL with named placeholders for Parameters, as `fetch_one` expects, and literals."""
    literals = (
        f"%({value.name})s"
        if isinstance(value, Parameter)
        else Literal(value).as_string().replace("%", "%%")  # psycopg reads the result once more
        for value in values
    )
    return sql % tuple(literals)


def fetch_one(statement: str, values: Mapping[str, Any]) -> Row | None:
    """Return the first row of a statement, or None."""
    sql, names = _numbered(statement)
    with connection.cursor() as cursor:
        # Django's own cursor interpolates the values, so that no two statements would be the same.
        cursor.cursor = psycopg.RawCursor(cursor.connection)
        cursor.execute(sql, [values[name] for name in names])
        row: Row | None = cursor.fetchone()
        return row


@cache
def _numbered(statement: str) -> tuple[str, list[str]]:
    """Return the statement with placeholders as Postgres numbers them, and whose values they take."""
    names: list[str] = []

    def number(placeholder: re.Match[str]) -> str:
        name = placeholder[1]
        if name is None:
            return "%"
        if name not in names:
            names.append(name)
        return f"${names.index(name) + 1}"

    return PLACEHOLDER.sub(number, statement), names

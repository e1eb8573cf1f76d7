"""A Postgres and a Valkey for one run of the tests, in a folder that is gone afterwards."""

import atexit
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import django

from config.local.folder import AlreadyRunning, hold
from config.local.postgres import Cluster, postgres
from config.local.processes import end_orphans
from config.local.supervisor import Supervisor
from config.local.valkey import valkey

PREFIX = "laurel-test-"


def set_up() -> None:
    """Point the environment at fresh services and load Django; what the environment names already is kept.

    Each process of pytest-xdist has services of its own, so that none takes another's tasks or run folders.
    """
    var = Path(tempfile.mkdtemp(prefix=PREFIX)).resolve()
    os.environ["LAUREL_VAR"] = str(var)
    (var / "static").mkdir()  # whitenoise warns of a missing one
    cleanup = ExitStack()
    atexit.register(cleanup.close)
    cleanup.enter_context(hold(var, serving="a test run"))
    cleanup.callback(remove_folders, var)
    remove_abandoned()
    cleanup.enter_context(running_services(var))
    os.environ["DJANGO_SETTINGS_MODULE"] = "config.settings"
    os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "true"  # Playwright keeps an event loop in the test's thread
    os.environ["HF_HUB_OFFLINE"] = "1"
    django.setup()


@contextmanager
def running_services(var: Path) -> Iterator[None]:
    from config.settings import SOCKETS  # after LAUREL_VAR is set

    services = []
    if not os.environ.get("DATABASE_URL"):
        services.append(postgres(Cluster(var / "postgres", SOCKETS, durable=False)))
    if not os.environ.get("CELERY_BROKER_URL"):
        services.append(valkey(var / "valkey", SOCKETS))
    supervisor = Supervisor(var, quiet=True)
    try:
        supervisor.start(*services)
        yield
    finally:
        supervisor.stop()


def remove_abandoned() -> None:
    """Stop and remove what test runs left behind that were killed: nobody holds their folder any more."""
    for var in Path(tempfile.gettempdir()).resolve().glob(f"{PREFIX}*"):
        try:
            with hold(var, serving="its removal"):
                end_orphans(var)
                remove_folders(var)
        except (AlreadyRunning, PermissionError):
            continue


def remove_folders(var: Path) -> None:
    from config.settings import socket_folder

    shutil.rmtree(socket_folder(var), ignore_errors=True)
    shutil.rmtree(var, ignore_errors=True)

"""`bin/run`: run everything that Laurel needs on this machine, until Ctrl-C."""

from __future__ import annotations

import json
import os
import signal
import sys
from types import FrameType

from config.local import application
from config.local.folder import AlreadyRunning, UnsafeFolder, hold
from config.local.postgres import Cluster, WrongMajor, create_database, make_var_private, postgres
from config.local.processes import end_orphans
from config.local.supervisor import ServiceFailed, Supervisor
from config.local.valkey import valkey
from config.settings import DEMO, PORT, ROOT, SOCKETS, STATIC_ROOT, VAR

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
URL = f"http://{application.HOST}:{PORT}/"


class StopRequested(Exception):
    """Ctrl-C, SIGTERM or SIGHUP."""


def main() -> int:
    os.chdir(ROOT)
    os.umask(0o077)  # for all that is started here: other users of the machine read nothing
    for number in STOP_SIGNALS:
        signal.signal(number, _stop)
    try:
        with hold(VAR, serving=URL):
            make_var_private(VAR, Cluster(VAR / "postgres", SOCKETS))
            _run()
    except AlreadyRunning as error:
        print(f"Laurel is already running: {error}", file=sys.stderr)
        return 1
    except (ServiceFailed, UnsafeFolder, WrongMajor) as error:
        print(f"Laurel did not start: {error}", file=sys.stderr)
        return 1
    except StopRequested:
        print("Laurel has stopped.")
    return 0


def _run() -> None:
    if orphans := end_orphans(VAR):
        print(f"Stopped {orphans} processes that an earlier run left behind.")
    supervisor = Supervisor(VAR)
    try:
        _start(supervisor)
        _greet()
        supervisor.watch()
    finally:
        for number in STOP_SIGNALS:
            signal.signal(number, signal.SIG_IGN)  # stopping takes seconds at most: let it finish
        supervisor.stop()


def _start(supervisor: Supervisor) -> None:
    """Start the servers, then set up what they must contain, then start the processes that use them."""
    application.check_port(PORT)
    if not os.environ.get("DATABASE_URL"):
        cluster = Cluster(folder=VAR / "postgres", sockets=SOCKETS)
        supervisor.start(postgres(cluster))
        create_database(cluster, "laurel")
    if not os.environ.get("CELERY_BROKER_URL"):
        supervisor.start(valkey(VAR / "valkey", SOCKETS))
    manage = (sys.executable, "manage.py")
    supervisor.run("migrate", [*manage, "migrate", "--no-input"])
    if not _static_is_current():
        supervisor.run("static", [*manage, "collectstatic", "--no-input", "--verbosity", "0"])
    supervisor.run("schedule", [*manage, "schedule"])
    if DEMO:
        supervisor.run("demo", [*manage, "seed_demo"])
    supervisor.start(application.web(PORT))
    supervisor.start(application.default_worker(), application.gpu_worker())
    supervisor.start(application.scorer(), application.beat())


def _static_is_current() -> bool:
    """Return whether no static file has changed since the last collectstatic, which takes seconds."""
    manifest = STATIC_ROOT / "staticfiles.json"
    sources = [ROOT / "constraints.txt", *(ROOT / "static").rglob("*")]  # Laurel's own, and those of packages
    return manifest.exists() and max(path.stat().st_mtime for path in sources) < manifest.stat().st_mtime


def _greet() -> None:
    """Print the address, and the names and passwords that seed_demo saved in VAR."""
    lines = [f"Laurel is ready: {URL}    Ctrl-C stops it, its logs are in {VAR / 'log'}"]
    file = VAR / "credentials.json"
    if file.exists():
        credentials: dict[str, str] = json.loads(file.read_text())
        width = max(map(len, ["name", *credentials]))
        lines += ["", f"  {'name':<{width}}  password"]
        lines += [f"  {name:<{width}}  {password}" for name, password in credentials.items()]
    print("\n" + "\n".join(lines) + "\n", flush=True)


def _stop(signum: int, frame: FrameType | None) -> None:
    raise StopRequested


if __name__ == "__main__":
    sys.exit(main())

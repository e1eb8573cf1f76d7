"""`bin/restore`: put a backup on this machine, with the embedded Postgres running for that alone."""

from __future__ import annotations

import os
import subprocess
import sys

from config.local.folder import AlreadyRunning, UnsafeFolder, hold
from config.local.postgres import Cluster, WrongMajor, create_database, postgres
from config.local.processes import end_orphans
from config.local.supervisor import ServiceFailed, Supervisor
from config.settings import ROOT, SOCKETS, VAR


def main(arguments: list[str]) -> int:

    try:
        os.umask(0o077)  # as `bin/run` has it
        with hold(VAR, serving="a restore"):
            return _restore(arguments)
    except AlreadyRunning as error:
        print(f"Laurel is running ({error}): stop it first", file=sys.stderr)
    except (ServiceFailed, UnsafeFolder, WrongMajor) as error:
        print(f"Nothing was restored: {error}", file=sys.stderr)
    except KeyboardInterrupt:
        print("Stopped: the same command goes on.", file=sys.stderr)
    return 1


def _restore(arguments: list[str]) -> int:
    end_orphans(VAR)
    supervisor = Supervisor(VAR, quiet=True)
    try:
        if not os.environ.get("DATABASE_URL"):
            cluster = Cluster(folder=VAR / "postgres", sockets=SOCKETS)
            supervisor.start(postgres(cluster))
            create_database(cluster, "laurel")
        return subprocess.call([sys.executable, "manage.py", "restore", *arguments], cwd=ROOT)
    finally:
        supervisor.stop()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""An installation that is gone afterwards: a folder, and a Postgres of its own that syncs its writes."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
NAMED_BY_TEAMS = ("DATABASE_URL", "CELERY_BROKER_URL", "SCORERS")  # not theirs: ours alone


@contextmanager
def installation(**environment: str) -> Iterator[tuple[Path, Any]]:
    """Yield the folder, and the supervisor to start services with; Django is set up and has its tables.

    Args: environment: of this process and of the services.
    """
    sys.path.insert(0, str(ROOT))  # before this folder: `annotation` is the package
    os.chdir(ROOT)
    for name in NAMED_BY_TEAMS:
        os.environ.pop(name, None)
    folder = Path(tempfile.mkdtemp(prefix="laurel-benchmark-")).resolve()
    os.environ |= {"DJANGO_SETTINGS_MODULE": "config.settings", "LAUREL_VAR": str(folder)} | environment
    from config.local.postgres import Cluster, create_database, postgres
    from config.local.supervisor import Supervisor
    from config.settings import SOCKETS

    supervisor = Supervisor(folder, quiet=True)
    cluster = Cluster(folder / "postgres", SOCKETS, durable=True)
    try:
        supervisor.start(postgres(cluster))
        create_database(cluster, "laurel")
        manage = (sys.executable, "manage.py")
        supervisor.run("migrate", [*manage, "migrate", "--no-input"])
        supervisor.run("static", [*manage, "collectstatic", "--no-input", "--verbosity", "0"])
        import django

        django.setup()
        yield folder, supervisor
    finally:
        supervisor.stop()
        for gone in (SOCKETS, cluster.home, folder):
            shutil.rmtree(gone, ignore_errors=True)

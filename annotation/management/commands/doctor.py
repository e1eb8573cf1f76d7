"""`manage.py doctor`: is everything Laurel needs in order here, and what to do if not."""

from __future__ import annotations

import platform
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from celery import current_app
from django.apps import apps
from django.conf import settings
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.core.management.base import BaseCommand, CommandError
from django.db import DatabaseError, connection
from django.db.migrations.executor import MigrationExecutor
from django.utils.timezone import now
from kombu.exceptions import KombuError

from annotation.local_images import local_root
from annotation.models import FileFault, FileRound, Job
from annotation.selectors.log import check_log

LEAST_FREE_BYTES = 5 * 10**9  # a dataset, a run's checkpoints and its sample grids
NAMED_FAULTS = 3
RUNS = "gpu"  # the queue of what other apps than this one do
PACKAGES = ("django", "celery", "torch", "transformers", "diffusers")
# Torch is imported in a process of its own, never by a command of this app.
_DEVICES = """
import torch
names = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
print(", ".join(names) or f"no GPU: {torch.get_num_threads()} CPU threads")
"""


@dataclass(frozen=True)
class Finding:
    """The result of a check. `advice` is how to fix it, empty if nothing is wrong."""

    what: str
    result: str
    advice: str = ""


class Command(BaseCommand):
    help = "Check database, broker, workers, storage, devices, disk and versions, and say what to do."
    requires_system_checks = []
    requires_migrations_checks = False

    def handle(self, *args: Any, **options: Any) -> None:
        problems = 0
        for finding in run_checks():
            mark = self.style.ERROR("ill ") if finding.advice else self.style.SUCCESS("well")
            self.stdout.write(f"{mark}  {finding.what:<9}  {finding.result}")
            if finding.advice:
                problems += 1
                self.stdout.write(f"{'':17}{finding.advice}")
        if problems:
            raise CommandError(f"{problems} of these {'need' if problems > 1 else 'needs'} attention")


def run_checks() -> Iterator[Finding]:
    checks = (
        check_database,
        check_broker,
        check_scorers,
        check_storage,
        check_files,
        check_actions,
        check_disk,
        check_devices,
    )
    for check in (*checks, check_versions):
        yield from check()


def check_database() -> Iterator[Finding]:
    try:
        with connection.cursor() as cursor:
            cursor.execute("SHOW server_version")
            server = cursor.fetchone()[0]
        executor = MigrationExecutor(connection)
    except DatabaseError as error:
        yield Finding("database", str(error).strip(), "Start bin/run, or set DATABASE_URL.")
        return
    yield Finding("database", f"PostgreSQL {server}")
    missing = executor.migration_plan(executor.loader.graph.leaf_nodes())
    advice = "Run manage.py migrate." if missing else ""
    yield Finding("tables", f"{len(missing)} migrations not applied", advice)


def check_broker(queues: Sequence[str] = ("default", RUNS)) -> Iterator[Finding]:
    try:
        with current_app.connection_for_read() as broker:
            broker.ensure_connection(max_retries=1, timeout=3)
            where = broker.as_uri()
        served = current_app.control.inspect(timeout=2).active_queues() or {}
    except (KombuError, OSError) as error:
        yield Finding("broker", str(error), "Start bin/run, or set CELERY_BROKER_URL.")
        return
    yield Finding("broker", where)
    for queue in queues:
        workers = [name for name, active in served.items() if queue in {entry["name"] for entry in active}]
        advice = ""
        if not workers and queue == RUNS:  # one that does a run does not answer before it has ended
            workers = [f"busy with {run}" for run in _runs_at_work()]
        if not workers:
            advice = f"Start one: celery -A config worker -Q {queue}"
        yield Finding("worker", f"{', '.join(workers) or 'none answers'} on the queue {queue}", advice)


def _runs_at_work() -> list[Job]:
    """Return the jobs of the apps above this one that a worker is doing."""
    kinds = [kind for kind in apps.get_models() if issubclass(kind, Job)]
    runs = [kind for kind in kinds if kind._meta.app_label != Job._meta.app_label]
    return [run for kind in runs for run in kind._default_manager.at_work(now=now())]


def check_scorers() -> Iterator[Finding]:
    """Check that something listens at each address; only an app above this one speaks the protocol."""
    for address in settings.SCORERS:
        try:
            if "/" in address:
                with socket.socket(socket.AF_UNIX) as client:
                    client.settimeout(3)  # seconds
                    client.connect(address)
            else:
                host, _, port = address.rpartition(":")
                socket.create_connection((host, int(port)), timeout=3).close()
        except (OSError, ValueError) as error:  # ValueError: neither a path nor HOST:PORT
            yield Finding(
                "scorer", f"none at {address} ({error})", "For scores over the API: manage.py serve_scores"
            )
        else:
            yield Finding("scorer", f"listens at {address}")


def check_storage() -> Iterator[Finding]:
    try:
        name = default_storage.save("doctor/probe", ContentFile(b"probe"))
        with default_storage.open(name) as file:
            intact = file.read() == b"probe"
        default_storage.delete(name)
    except Exception as error:  # boto has errors of its own
        yield Finding(
            "storage", repr(error), "Images cannot be kept: look at LAUREL_VAR, S3_BUCKET, S3_ENDPOINT."
        )
        return
    advice = "" if intact else "What was written was not what was read."
    bucket = getattr(default_storage, "bucket_name", "a storage elsewhere")
    yield Finding("storage", str(local_root() or bucket), advice)


def check_files() -> Iterator[Finding]:
    """What the scheduled look at stored files saw: it reads each of them once a week."""
    try:
        faults = list(FileFault.objects.all()[:NAMED_FAULTS])
        count = FileFault.objects.count()
        rounds = list(FileRound.objects.order_by("kind"))
    except DatabaseError:
        return  # said by the check of the database
    seen = ", ".join(
        f"{round_.kind} {round_.finished_at:%Y-%m-%d}" if round_.finished_at else f"{round_.kind} not yet"
        for round_ in rounds
    )
    if not count:
        yield Finding("files", f"as they were stored; read whole: {seen or 'not yet'}")
        return
    more = f", and {count - len(faults)} more" if count > len(faults) else ""
    advice = "manage.py restore BACKUPS --faulty puts such files back; look at the disk too."
    yield Finding("files", "; ".join(map(str, faults)) + more, advice)


def check_actions() -> Iterator[Finding]:
    try:
        check = check_log()
    except DatabaseError:
        return  # said by the check of the database
    advice = "Somebody changed the database by hand: compare it with a backup." if check.fault else ""
    yield Finding("log", check.fault or f"{check.entries:,} entries, none of them changed", advice)


def check_disk() -> Iterator[Finding]:
    free = shutil.disk_usage(Path(settings.VAR)).free
    advice = "" if free > LEAST_FREE_BYTES else "Make room, or move LAUREL_VAR to a larger disk."
    yield Finding("disk", f"{free / 1e9:.0f} GB free for {settings.VAR}", advice)


def check_devices() -> Iterator[Finding]:
    if find_spec("torch") is None:  # as in the image of the web server
        yield Finding(
            "devices", "torch is not installed: only hosts with '.[learning]' do runs and give scores"
        )
        return
    answer = subprocess.run([sys.executable, "-c", _DEVICES], capture_output=True, text=True, check=False)
    if answer.returncode == 0:
        yield Finding("devices", answer.stdout.strip())
    else:
        last_line = answer.stderr.strip().splitlines()[-1:]
        yield Finding(
            "devices", " ".join(last_line), "Reinstall it: pip install -e '.[learning]' -c constraints.txt"
        )


def check_versions() -> Iterator[Finding]:
    versions = [f"python {platform.python_version()}"]
    for package in PACKAGES:
        try:
            versions.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            versions.append(f"no {package}")
    yield Finding("versions", ", ".join(versions))

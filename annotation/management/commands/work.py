"""`manage.py work`: a worker of one queue, which may end once there is nothing more to do."""

from __future__ import annotations

import os
import signal
import threading
import time
from typing import Any

from celery import current_app
from celery.signals import worker_ready
from celery.worker import state
from django.core.management.base import BaseCommand, CommandError, CommandParser

QUEUES = ("default", "gpu")
LEAST = 1.0  # seconds


class Command(BaseCommand):
    help = "Do what waits in a queue; with --until-idle end, with status 0, once nothing did for so long."
    requires_system_checks = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--queue", choices=QUEUES, required=True)
        parser.add_argument(
            "--until-idle",
            type=float,
            metavar="SECONDS",
            help="for Slurm and Kubernetes; more than the 60 that a run waits after its second crash",
        )
        parser.add_argument("--loglevel", default="INFO")

    def handle(self, *args: Any, **options: Any) -> None:
        seconds, queue = options["until_idle"], options["queue"]
        if seconds is not None and queue == "default":
            raise CommandError(
                "--until-idle is for the queue gpu: in default, beat sends something all the time"
            )
        if seconds is not None:
            if seconds < LEAST:
                raise CommandError(f"--until-idle: {LEAST:g} second or more, not {seconds:g}")
            watch = threading.Thread(target=_end_when_idle, args=(seconds,), daemon=True)
            worker_ready.connect(lambda **_: watch.start(), weak=False)
        # One run or import at a time, in this process: runs and heavy imports have processes of their own.
        current_app.worker_main(
            [
                *("worker", "--queues", queue, "--hostname", f"{queue}-{os.getpid()}@%h", "--pool", "solo"),
                *("--loglevel", options["loglevel"], "--without-gossip", "--without-mingle"),
            ]
        )


def _end_when_idle(seconds: float) -> None:
    """Ask this process to end in order, as SIGTERM does, once it had no task for so long."""
    last = time.monotonic()
    while time.monotonic() - last < seconds:
        time.sleep(min(1.0, seconds / 4))
        if state.active_requests or state.reserved_requests:
            last = time.monotonic()
    os.kill(os.getpid(), signal.SIGTERM)

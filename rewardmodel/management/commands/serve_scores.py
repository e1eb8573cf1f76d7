"""`manage.py serve_scores`: keeps promoted reward models warm, for POST /api/v1/scores."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import connection

from annotation.places import on_this_host
from annotation.stored_files import local_copy
from rewardmodel.models import RewardCheckpoint
from rewardmodel.serving.model_cache import ModelCache
from rewardmodel.serving.protocol import parse_address
from rewardmodel.serving.server import AlreadyServed, Limits, Server


class StopAsked(Exception):
    """Ctrl-C, or somebody ended us."""


class Command(BaseCommand):
    help = "Keep promoted reward models warm, and score what clients of POST /api/v1/scores send."
    requires_system_checks = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--listen",
            metavar="ADDRESS",
            help="a Unix socket's path or HOST:PORT; default: the first of SCORERS",
        )
        parser.add_argument("--device", help="as torch calls it; default: a GPU if there is one")
        parser.add_argument(
            "--batch", type=int, default=settings.SCORER_BATCH, help="images at a time, at most"
        )
        parser.add_argument(
            "--warm", action="store_true", help="load what is promoted now, not when it is first asked for"
        )

        parser.add_argument(
            "--nice",
            type=int,
            default=0,
            help="1 to 19: give way to other processes of this machine, as nice does",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        # Threads that wait by spinning take the time of the pages beside us.
        os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
        if options["nice"]:
            _give_way(options["nice"])
        try:
            address = parse_address(options["listen"] or settings.SCORERS[0])
        except (IndexError, ValueError) as error:
            raise CommandError(f"--listen: {error}") from error
        if options["device"]:
            from rewardmodel.learning.devices import DeviceError, device_or_default  # torch

            try:
                device_or_default(options["device"])
            except DeviceError as error:
                raise CommandError(f"--device: {error}") from error
        models = ModelCache(
            memory=settings.SCORER_MEMORY, device=options["device"], path=on_this_host, copy=_copy
        )
        if options["warm"]:
            for checkpoint in RewardCheckpoint.objects.promoted():
                try:
                    models.get(checkpoint.location)
                except ValueError as error:  # CheckpointError: whoever asks for it is told, others are served
                    self.stderr.write(f"{checkpoint.name}: {error}")
        limits = Limits(
            batch=options["batch"],
            waiting=settings.SCORER_WAITING,
            waiting_bytes=settings.SCORER_WAITING_BYTES,
            pixels=settings.IMAGE_MAX_PIXELS,
            idle_seconds=settings.SCORER_IDLE_SECONDS,
        )
        server = Server(address=address, key=settings.SCORER_KEY, limits=limits, models=models)
        for asked in (signal.SIGINT, signal.SIGTERM):
            signal.signal(asked, _stop)
        try:
            server.serve()
        except AlreadyServed as error:
            raise CommandError(str(error)) from error
        except StopAsked:
            return


@contextmanager
def _copy(location: str) -> Iterator[Path]:
    """As `local_copy`, in a thread that comes and goes. Raises: OSError where it cannot be fetched."""
    with ExitStack() as stack:
        try:
            place = stack.enter_context(local_copy(location))
        except OSError:
            raise
        except Exception as error:  # of the database, or of the client of the storage
            raise OSError(f"{location} cannot be fetched: {error}") from error
        finally:
            connection.close()
        yield place


def _give_way(steps: int) -> None:
    """Linux may weigh sessions first, processes only within one; started by `bin/run`, we have our own."""
    os.nice(steps)
    if os.getsid(0) == os.getpid():
        with suppress(OSError):  # another system, or another way to weigh
            Path("/proc/self/autogroup").write_text(str(steps))


def _stop(signum: int, frame: FrameType | None) -> None:
    raise StopAsked

"""`manage.py run_loop`: rounds of the whole loop by hand, one table a round."""

from __future__ import annotations

from argparse import ArgumentParser
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Thread
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.core.servers.basehttp import ThreadedWSGIServer, WSGIRequestHandler, get_internal_wsgi_application

from demo.browser import PageRefused
from demo.loop import Loop, LoopBusy, RunFailed, alone_in
from demo.people import simulated_people
from demo.report import table
from demo.seeding import CREDENTIALS, SIMULATED, ensure_project, paused
from demo.simulation import Strayed
from refl.loop.step import StepRefused


class Command(BaseCommand):
    help = (
        "Annotate, freeze, train, tune and sample in order, with simulated annotators, and print a table a "
        "round. The project is made if there is none; its schedule rests meanwhile."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("project", help="the slug of a small-world project")
        parser.add_argument("--rounds", type=int, default=2)
        parser.add_argument("--annotators", type=int, default=4, help=f"1 to {SIMULATED}")
        parser.add_argument("--assignments", type=int, default=600, help="judgements of a round")
        parser.add_argument("--held-out", type=int, default=250, help="captions that the oracle judges on")
        parser.add_argument("--seed", type=int, default=0)
        parser.add_argument("--url", help="a running server's; without it pages are served from here")

    def handle(self, *args: Any, **options: Any) -> None:
        if not 1 <= options["annotators"] <= SIMULATED:
            raise CommandError(f"--annotators: 1 to {SIMULATED}")
        project = ensure_project(options["project"], name=options["project"], enabled=False)
        try:
            with alone_in(project), serve() as local_url, paused(project):
                loop = Loop(
                    project=project,
                    url=options["url"] or local_url,
                    people=simulated_people(options["annotators"], credentials=CREDENTIALS),
                    tasks=options["assignments"],
                    held_out=options["held_out"],
                    seed=options["seed"],
                    say=self._say,
                )
                for this in loop.rounds(options["rounds"]):
                    self._say(table(this))
        except (LoopBusy, PageRefused, RunFailed, StepRefused, Strayed) as error:
            raise CommandError(str(error)) from error

    def _say(self, line: str) -> None:
        self.stdout.write(line)
        self.stdout.flush()


class _QuietHandler(WSGIRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        """Log no requests: the command shows its own progress."""


@contextmanager
def serve() -> Iterator[str]:
    """Serve Laurel's pages on a free loopback port while the block runs; yield the URL."""
    server = ThreadedWSGIServer(("127.0.0.1", 0), _QuietHandler)
    server.set_app(get_internal_wsgi_application())
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()

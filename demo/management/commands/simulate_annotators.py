"""`manage.py simulate_annotators`: simulated people sign in over HTTP and judge what is open."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any
from urllib.error import URLError

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from tqdm import tqdm

from annotation.management.projects import find_project
from demo.browser import PageRefused
from demo.people import simulated_people
from demo.seeding import CREDENTIALS
from demo.simulation import Strayed, simulate


class Command(BaseCommand):
    help = "Let simulated annotators sign in over HTTP and judge small-world images as people would."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("project", help="the project's slug")
        parser.add_argument("--annotators", type=int, default=4, help="how many work at the same time")
        parser.add_argument("--assignments", type=int, default=100, help="tasks wanted in all")
        parser.add_argument("--url", default=f"http://127.0.0.1:{settings.PORT}/", help="where pages answer")
        parser.add_argument("--seed", type=int, default=0)

    def handle(self, *args: Any, **options: Any) -> None:
        project = find_project(options["project"])
        try:
            people = simulated_people(options["annotators"], credentials=CREDENTIALS)
        except (FileNotFoundError, KeyError) as error:
            raise CommandError(
                f"no account for that many simulated annotators ({error}); run `manage.py seed_demo`"
            ) from error
        with tqdm(total=options["assignments"], unit="task") as bar:
            try:
                done = simulate(
                    url=options["url"],
                    project=project.slug,
                    people=people,
                    tasks=options["assignments"],
                    seed=options["seed"],
                    on_task=bar.update,
                )
            except (PageRefused, Strayed) as error:
                raise CommandError(str(error)) from error
            except URLError as error:
                raise CommandError(
                    f"{options['url']} does not answer ({error.reason}); start `bin/run`, or name with --url "
                    "the address that it printed"
                ) from error
        self.stdout.write(f"{done} tasks done by {len(people)} simulated annotators.")

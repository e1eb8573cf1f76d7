"""pull_dataset PROJECT OWNER/NAME[@REVISION]"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError, CommandParser

from annotation.hub import HubRefused, pull_folder
from annotation.management.projects import find_project
from annotation.services.exports import FORMATS


class Command(BaseCommand):
    help = "Fetch rankings that push_dataset pushed, and import them; published datasets: import_rankings."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("project", help="the project's slug")
        parser.add_argument("repository", metavar="OWNER/NAME[@REVISION]")
        parser.add_argument("--without-images", action="store_true", help="take the rankings alone")

    def handle(self, *, project: str, repository: str, without_images: bool, **options: Any) -> None:
        find_project(project)
        name, _, revision = repository.partition("@")
        with tempfile.TemporaryDirectory(prefix="laurel-pull-") as temporary:
            # Those who judged are called imported:NAME.
            folder = Path(temporary) / name.rpartition("/")[2]
            try:
                pull_folder(repository=name, revision=revision or None, kind="dataset", into=folder)
            except HubRefused as error:
                raise CommandError(str(error)) from None
            data = next((file for each in FORMATS.values() for file in sorted(folder.glob(each.data))), None)
            if data is None:
                raise CommandError(f"{repository}: holds no file of an export")
            file = data.parent if data.parent != folder else data
            named = file.rename(file.with_name(f"{folder.name}{data.suffix if file == data else ''}"))
            call_command(
                "import_rankings",
                project,
                named,
                images=None if without_images else folder,
                without_images=without_images,
                stdout=self.stdout,
                stderr=self.stderr,
            )

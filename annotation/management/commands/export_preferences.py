"""export_preferences PROJECT --to DIR"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils.timezone import now
from tqdm import tqdm

from annotation.models import Project
from annotation.selectors.preferences import count_finished
from annotation.services.exports import FORMATS, ExportRefused, write_export


class Command(BaseCommand):
    help = "Write the project's accepted rankings, with a card, into a new folder."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("project", help="the project's slug")
        parser.add_argument("--format", choices=sorted(FORMATS), default="imagereward")
        parser.add_argument(
            "--to", type=Path, required=True, metavar="DIR", help="a folder that is not there yet"
        )

    def handle(self, *, project: str, format: str, to: Path, **options: Any) -> None:
        try:
            chosen = Project.objects.get(slug=project)
            with tqdm(
                desc="rankings", unit="", total=count_finished(chosen), disable=None, file=self.stderr
            ) as bar:
                done = write_export(project=chosen, format=format, folder=to, now=now(), progress=bar.update)
        except Project.DoesNotExist:
            raise CommandError(f"there is no project {project!r}") from None
        except ExportRefused as error:
            raise CommandError(str(error)) from None
        self.stdout.write(
            f"{done.rankings:,} rankings of {done.images:,} images: "
            f"{done.pairs:,} pairs in different slots, {done.ties:,} tied; in {to}"
        )

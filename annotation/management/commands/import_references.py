"""import_references PROJECT FILE --by NAME --purpose PURPOSE"""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils.timezone import now
from tqdm import tqdm

from annotation.management.people import find_user
from annotation.management.projects import find_project
from annotation.models import Reference
from annotation.services.imports import ImportRefused, import_references
from annotation.services.imports.formats import READERS


class Command(BaseCommand):
    help = "Compare others with these rankings, as answers of somebody of the project; all or none."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("project", help="the project's slug")
        parser.add_argument("file", type=Path, help="rankings of prompts that the project has")
        parser.add_argument("--by", required=True, metavar="NAME", help="whose answers they are")
        parser.add_argument("--purpose", required=True, choices=Reference.Purpose.values)
        parser.add_argument("--format", choices=sorted(READERS), help="where its first row does not tell")

    def handle(self, *, project: str, file: Path, by: str, purpose: str, **options: Any) -> None:
        try:
            with tqdm(desc="references", unit="", disable=None, file=self.stderr) as bar:
                count = import_references(
                    project=find_project(project),
                    file=file,
                    purpose=purpose,
                    by=find_user(by),
                    now=now(),
                    generator=random.Random(),
                    format=options["format"],
                    progress=bar.update,
                )
        except ImportRefused as error:
            raise CommandError(str(error)) from None
        self.stdout.write(f"{count:,} references.")

"""import_prompts PROJECT FILE"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from tqdm import tqdm

from annotation.management.projects import find_project
from annotation.services.imports import ImportRefused, import_prompts


class Command(BaseCommand):
    help = (
        "Add prompts from a .txt, .jsonl, .csv or .tsv file, a .json of ImageReward or ReFL, or DiffusionDB "
        "metadata .parquet."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("project", help="the project's slug")
        parser.add_argument("file", type=Path)

    def handle(self, *, project: str, file: Path, **options: Any) -> None:
        try:
            with tqdm(desc="prompts", unit="", disable=None, file=self.stderr) as bar:
                done = import_prompts(project=find_project(project), file=file, progress=bar.update)
        except ImportRefused as error:
            raise CommandError(str(error)) from None
        self.stdout.write(f"{done.summary} in {file}")

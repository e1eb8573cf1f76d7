"""import_generations PROJECT MANIFEST"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from tqdm import tqdm

from annotation.management.projects import find_project
from annotation.services.imports import ImportRefused, import_generations


class Command(BaseCommand):
    help = "Add images with their prompts, and ask for opinions on them."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("project", help="the project's slug")
        parser.add_argument(
            "manifest",
            type=Path,
            help='a .jsonl file of {"prompt_id", "prompt", "images": [{"file", "generator", "seed", '
            '"parameters"}]} with paths relative to it, or a part-XXXXXX folder of DiffusionDB',
        )
        parser.add_argument("--no-assignments", action="store_true", help="ask for no opinions yet")

    def handle(self, *, project: str, manifest: Path, no_assignments: bool, **options: Any) -> None:
        try:
            with tqdm(desc="images", unit="", disable=None, file=self.stderr) as bar:
                done = import_generations(
                    project=find_project(project),
                    manifest=manifest,
                    open_slots=not no_assignments,
                    progress=bar.update,
                )
        except ImportRefused as error:
            raise CommandError(str(error)) from None
        if not (done.prompts or done.images):
            self.stdout.write("Nothing new: the project has all of it already.")
        self.stdout.write(
            f"{done.prompts:,} prompts and {done.images:,} images new; "
            f"{done.assignments:,} assignments opened"
        )
        if done.left_out:
            self.stdout.write(
                f"{done.left_out:,} images left out: their prompts have more than can be placed"
            )

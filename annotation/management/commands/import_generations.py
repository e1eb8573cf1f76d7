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
            '"parameters"}]}, a part-XXXXXX folder of DiffusionDB or one of such folders, or its metadata '
            ".parquet",
        )
        parser.add_argument(
            "--images", type=Path, metavar="DIR", help="image paths are relative to it (default: the file's)"
        )
        parser.add_argument(
            "--chosen", action="store_true", help="only prompts that the newest selection chose"
        )
        parser.add_argument(
            "--at-least", type=int, default=0, metavar="N", help="pass over prompts with fewer images"
        )
        parser.add_argument(
            "--at-most", type=int, metavar="N", help="of more images take N (default: what can be placed)"
        )
        parser.add_argument("--no-assignments", action="store_true", help="ask for no opinions yet")

    def handle(self, *, project: str, manifest: Path, no_assignments: bool, **options: Any) -> None:
        if options["at_most"] is not None and options["at_most"] < max(1, options["at_least"]):
            raise CommandError("--at-most is below --at-least, or below 1")
        try:
            with tqdm(desc="images", unit="", disable=None, file=self.stderr) as bar:
                done = import_generations(
                    project=find_project(project),
                    manifest=manifest,
                    images=options["images"],
                    chosen_only=options["chosen"],
                    fewest=options["at_least"],
                    most=options["at_most"],
                    with_assignments=not no_assignments,
                    progress=bar.update,
                )
        except ImportRefused as error:
            raise CommandError(str(error)) from None
        if not (done.prompts or done.images):
            self.stdout.write("Nothing new: the project has all of it already.")
        self.stdout.write(done.summary)
        if done.passed_over:
            self.stdout.write(f"{done.passed_over:,} prompts passed over: they have too few images")
        if done.left_out:
            self.stdout.write(
                f"{done.left_out:,} images left out: their prompts have more than were taken, or one twice"
            )

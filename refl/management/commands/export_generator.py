"""`manage.py export_generator`: a generator as a whole diffusers pipeline, its LoRAs in its weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from annotation.management.projects import find_project
from refl.management.rows import find_generator
from refl.pipelines import load_generator
from rewardmodel.learning.saving import write_whole


class Command(BaseCommand):
    help = "Save a project's generator as a diffusers pipeline that needs no other file, its LoRAs fused."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("project", help="the project's slug")
        parser.add_argument("name", help="what the generator is called")
        parser.add_argument("--to", required=True, type=Path, metavar="DIR", help="a new folder")

    def handle(self, *args: Any, **options: Any) -> None:
        generator, folder = find_generator(find_project(options["project"]), options["name"]), options["to"]
        if folder.exists():
            raise CommandError(f"{folder} is there already")
        try:
            family = load_generator(generator, "cpu")
            with write_whole(folder) as partial:
                family.save(partial)
        except (ValueError, OSError) as error:  # NotAPipeline is a ValueError
            raise CommandError(str(error)) from error
        self.stdout.write(f"{generator} is saved in {folder}")

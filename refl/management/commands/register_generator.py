"""`manage.py register_generator`: make a diffusers pipeline known to a project."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import transaction

from annotation.management.projects import find_project
from refl.models import Generator
from refl.services.generators import BadGenerator, register_generator
from rewardmodel.learning.errors import PermanentError


class Command(BaseCommand):
    help = "Make a diffusers pipeline known to a project, to be tuned and to make images."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("project", help="the project's slug")
        parser.add_argument("name", help="what it is called in the project")
        parser.add_argument("pipeline", help="a folder, absolute or below the project's root, or a hub id")
        parser.add_argument("--lora", default="", metavar="FILE", help="of safetensors, over the pipeline")
        parser.add_argument("--pretraining", default="", metavar="FOLDER", help="of pairs.jsonl; for tuning")
        parser.add_argument("--steps", type=int, default=50, help="denoising steps of a sample (default 50)")
        parser.add_argument(
            "--guidance-scale", type=float, default=7.5, help="of a sample, 1 for none (default 7.5)"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        fields = ("name", "pipeline", "lora", "pretraining", "steps", "guidance_scale")
        try:
            with transaction.atomic():
                generator = register_generator(
                    project=find_project(options["project"]), **{name: options[name] for name in fields}
                )
                description = describe(generator)
        except (BadGenerator, PermanentError) as error:
            raise CommandError(str(error)) from error
        self.stdout.write(f"{generator} is registered: {description}")


def describe(generator: Generator) -> str:
    """Say what the pipeline is, having looked at every tensor of a folder and at every image of its pairs.

    Raises: NotAPipeline; BadPairs.
    """
    if generator.pairs:
        from refl.learning.pairs import read_pairs

        read_pairs(generator.pairs)
    if not generator.is_seen:
        return "not yet seen, since the hub could not be asked; it is once a run that names it has loaded it"
    if not Path(generator.location).is_dir():
        return "its configurations were looked at; its weights are when a run loads it"
    from refl.learning.families.loading import check_pipeline

    files = "".join(f", with {file.name}" for file in generator.loras)
    return f"{check_pipeline(Path(generator.location), name=generator.pipeline)}{files}"

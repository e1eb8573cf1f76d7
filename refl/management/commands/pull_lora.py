"""pull_lora PROJECT NAME OWNER/NAME[@REVISION] --pipeline PIPELINE --to FOLDER"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError, CommandParser

from annotation.hub import HubRefused, pull_folder
from annotation.management.projects import find_project


class Command(BaseCommand):
    help = "Fetch a LoRA from a hub into a folder, and register it over a pipeline as a generator."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("project", help="the project's slug")
        parser.add_argument("name", help="what the generator will be called")
        parser.add_argument("repository", metavar="OWNER/NAME[@REVISION]")
        parser.add_argument(
            "--pipeline", required=True, help="a folder or hub id, as register_generator has it"
        )
        parser.add_argument("--to", required=True, type=Path, metavar="DIR", help="where the file stays")

    def handle(self, *, project: str, name: str, repository: str, pipeline: str, **options: Any) -> None:
        find_project(project)
        into: Path = options["to"]
        if into.exists():
            raise CommandError(f"{into} is there already")
        repository, _, revision = repository.partition("@")
        try:
            pull_folder(repository=repository, revision=revision or None, kind="model", into=into)
        except HubRefused as error:
            raise CommandError(str(error)) from None
        files = sorted(into.glob("*.safetensors"))
        if len(files) != 1:
            raise CommandError(f"{repository}: has {len(files)} .safetensors files, and a LoRA is one")
        call_command(
            "register_generator", project, name, pipeline, lora=str(files[0].resolve()), stdout=self.stdout
        )

"""push_lora PROJECT NAME OWNER/NAME --licence LICENCE"""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandParser

from annotation.hub import HubRefused
from annotation.management.projects import find_project
from annotation.management.pushes import PushCommand
from annotation.stored_files import local_copy
from refl.management.rows import find_generator
from refl.models import Generator
from rewardmodel.learning.checkpoints import hub
from rewardmodel.services.model_cards import lora_card, settings_table


class Command(PushCommand):
    kind = "model"
    help = "Push the LoRA of a generator to a hub, with a card; pull_lora fetches it."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("project", help="the project's slug")
        parser.add_argument("name", help="what the generator is called")
        super().add_arguments(parser)

    def handle(self, *, project: str, name: str, repository: str, licence: str, **options: Any) -> None:
        row = find_project(project)
        generator = find_generator(row, name)
        with self.folder_for(repository, licence) as folder:
            if len(generator.loras) != 1:
                raise HubRefused(f"{generator} has {len(generator.loras)} LoRAs: export_generator fuses them")
            with local_copy(generator.loras[0]) as file:
                if not file.is_file():
                    raise HubRefused(f"{generator}: {file} is no file that this machine can reach")
                (folder / generator.loras[0].name).symlink_to(file.resolve())
                card = lora_card(
                    name=generator.name,
                    project=row.name,
                    base=_base(generator),
                    licence=licence,
                    about=_about(generator),
                )
                (folder / "README.md").write_text(card, encoding="utf-8")
                address = self.push(
                    folder,
                    project=generator.project,
                    subject=str(generator),
                    repository=repository,
                    is_public=options["public"],
                    message=f"{generator.name} of {project}",
                )
        self.stdout.write(f"{generator} is pushed: {address}")


def _about(generator: Generator) -> str:
    """Say how it was tuned, and whether it was kept, as far as known."""
    if generator.run is None:
        return "Registered from elsewhere: how it was made is not known here."
    verdict = {True: "kept", False: "not kept", None: "not judged yet"}[generator.kept]
    reason = f": {generator.reason}" if generator.reason else ""
    return f"Tuned with these settings; {verdict}{reason}.\n\n{settings_table(generator.run.config)}"


def _base(generator: Generator) -> str:
    """Return the hub id of its pipeline; "" where that is a folder."""
    return generator.location if hub.is_id(generator.location) else ""

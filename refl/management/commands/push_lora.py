"""push_lora PROJECT NAME OWNER/NAME --licence LICENCE"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from annotation.hub import HubRefused, check_licence, check_repository, push_folder
from annotation.management.projects import find_project
from annotation.models import Action
from annotation.services.actions import record_action
from annotation.stored_files import local_copy
from refl.management.rows import find_generator
from refl.models import Generator
from rewardmodel.learning.checkpoints import hub
from rewardmodel.services.model_cards import lora_card, settings_table


class Command(BaseCommand):
    help = "Push the LoRA of a generator to a hub, with a card; pull_lora fetches it."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("project", help="the project's slug")
        parser.add_argument("name", help="what the generator is called")
        parser.add_argument("repository", metavar="OWNER/NAME", help="made if need be, private")
        parser.add_argument("--licence", required=True, help="as the Hub names it: openrail++, other ...")
        parser.add_argument("--public", action="store_true", help="the repository is public, or may be")

    def handle(self, *, project: str, name: str, repository: str, licence: str, **options: Any) -> None:
        row = find_project(project)
        generator = find_generator(row, name)
        try:
            check_repository(repository)
            check_licence(licence)
            if len(generator.loras) != 1:
                raise HubRefused(f"{generator} has {len(generator.loras)} LoRAs: export_generator fuses them")
            with (
                local_copy(generator.loras[0]) as file,
                tempfile.TemporaryDirectory(prefix="laurel-push-") as temporary,
            ):
                if not file.is_file():
                    raise HubRefused(f"{generator}: {file} is no file that this machine can reach")
                folder = Path(temporary)
                (folder / generator.loras[0].name).symlink_to(file.resolve())
                card = lora_card(
                    name=generator.name,
                    project=row.name,
                    base=_base(generator),
                    licence=licence,
                    about=_about(generator),
                )
                (folder / "README.md").write_text(card, encoding="utf-8")
                address = push_folder(
                    folder,
                    repository=repository,
                    kind="model",
                    is_public=options["public"],
                    message=f"{generator.name} of {project}",
                )
                record_action(
                    Action.Kind.EXPORTED,
                    project=generator.project,
                    by=None,
                    subject=f"{generator} to {repository}",
                )
        except HubRefused as error:
            raise CommandError(str(error)) from None
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

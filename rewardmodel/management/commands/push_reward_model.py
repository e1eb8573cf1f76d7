"""push_reward_model PROJECT NAME OWNER/NAME --licence LICENCE"""

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
from rewardmodel.management.rows import find_checkpoint
from rewardmodel.services.model_cards import reward_model_card


class Command(BaseCommand):
    help = "Push a reward model to a hub, with a card; register_reward_model takes its OWNER/NAME."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("project", help="the project's slug")
        parser.add_argument("name", help="what the reward model is called")
        parser.add_argument("repository", metavar="OWNER/NAME", help="made if need be, private")
        parser.add_argument("--licence", required=True, help="as the Hub names it: apache-2.0, other ...")
        parser.add_argument("--public", action="store_true", help="the repository is public, or may be")

    def handle(self, *, project: str, name: str, repository: str, licence: str, **options: Any) -> None:
        checkpoint = find_checkpoint(find_project(project), name)
        try:
            check_repository(repository)
            check_licence(licence)
            with (
                local_copy(checkpoint.location) as source,
                tempfile.TemporaryDirectory(prefix="laurel-push-") as temporary,
            ):
                if not source.is_dir():
                    raise HubRefused(f"{checkpoint}: {source} is no folder that this machine can reach")
                folder = Path(temporary)
                for file in source.iterdir():
                    if file.is_file() and file.name != "README.md":
                        (folder / file.name).symlink_to(file.resolve())
                card = reward_model_card(checkpoint, licence=licence)
                (folder / "README.md").write_text(card, encoding="utf-8")
                address = push_folder(
                    folder,
                    repository=repository,
                    kind="model",
                    is_public=options["public"],
                    message=f"{checkpoint.name} of {project}",
                )
                record_action(
                    Action.Kind.EXPORTED,
                    project=checkpoint.project,
                    by=None,
                    subject=f"{checkpoint} to {repository}",
                )
        except HubRefused as error:
            raise CommandError(str(error)) from None
        self.stdout.write(f"{checkpoint} is pushed: {address}")

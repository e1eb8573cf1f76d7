"""push_reward_model PROJECT NAME OWNER/NAME --licence LICENCE"""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandParser

from annotation.hub import HubRefused
from annotation.management.projects import find_project
from annotation.management.pushes import PushCommand
from annotation.stored_files import local_copy
from rewardmodel.management.rows import find_checkpoint
from rewardmodel.services.model_cards import reward_model_card


class Command(PushCommand):
    kind = "model"
    help = "Push a reward model to a hub, with a card; register_reward_model takes its OWNER/NAME."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("project", help="the project's slug")
        parser.add_argument("name", help="what the reward model is called")
        super().add_arguments(parser)

    def handle(self, *, project: str, name: str, repository: str, licence: str, **options: Any) -> None:
        checkpoint = find_checkpoint(find_project(project), name)
        with self.folder_for(repository, licence) as folder, local_copy(checkpoint.location) as source:
            if not source.is_dir():
                raise HubRefused(f"{checkpoint}: {source} is no folder that this machine can reach")
            for file in source.iterdir():
                if file.is_file() and file.name != "README.md":
                    (folder / file.name).symlink_to(file.resolve())
            card = reward_model_card(checkpoint, licence=licence)
            (folder / "README.md").write_text(card, encoding="utf-8")
            address = self.push(
                folder,
                project=checkpoint.project,
                subject=str(checkpoint),
                repository=repository,
                is_public=options["public"],
                message=f"{checkpoint.name} of {project}",
            )
        self.stdout.write(f"{checkpoint} is pushed: {address}")

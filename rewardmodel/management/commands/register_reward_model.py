"""`manage.py register_reward_model`: make a reward model known that no run made."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from annotation.management.projects import find_project
from rewardmodel.models import RewardCheckpoint
from rewardmodel.scoring import scorer
from rewardmodel.services.checkpoints import NameTaken, register_checkpoint


class Command(BaseCommand):
    help = (
        "Make a reward model known to a project: training starts from the one registered last. "
        "It is loaded once, to see that it is whole."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("project", help="the project's slug")
        parser.add_argument("name", help="what it is called in the project")
        parser.add_argument(
            "folder",
            help="a folder, absolute or below the project's root; a published file, such as BLIP's "
            "model_large.pth or ImageReward.pt, with its tokenizer's files beside it; or a hub id",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        from rewardmodel.learning import checkpoints  # torch

        project, name, folder = find_project(options["project"]), options["name"], options["folder"]
        try:
            checkpoint = RewardCheckpoint(project=project, name=name, folder=folder)
            scorer(checkpoint)
            if not Path(checkpoint.location).exists():
                folder = checkpoints.settle(folder)  # of the hub: the commit that was loaded just now
            checkpoint = register_checkpoint(project=project, name=name, folder=folder)
        except (NameTaken, ValueError) as error:  # CheckpointError is a ValueError
            raise CommandError(str(error)) from error
        self.stdout.write(f"{checkpoint} is registered")

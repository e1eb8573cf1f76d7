"""`manage.py promote_reward_model`: make one checkpoint the project's reward model."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandParser
from django.utils.timezone import now

from annotation.management.projects import find_project
from rewardmodel.management.rows import describe_checkpoint, find_checkpoint
from rewardmodel.services.checkpoints import promote


class Command(BaseCommand):
    help = "Make a checkpoint the project's reward model by hand, whatever its figures."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("project", help="the project's slug")
        parser.add_argument("checkpoint", help="its name, such as reward-3")

    def handle(self, *args: Any, **options: Any) -> None:
        checkpoint = find_checkpoint(find_project(options["project"]), options["checkpoint"])
        promote(checkpoint, now=now())
        self.stdout.write(describe_checkpoint(checkpoint))

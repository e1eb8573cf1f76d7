"""`manage.py evaluate_reward_model`: how often a checkpoint orders two images as people did."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from annotation.management.projects import find_project
from rewardmodel.management.rows import find_checkpoint, find_dataset
from rewardmodel.models import DatasetVersion
from rewardmodel.selectors import NothingPromoted, promoted_checkpoint
from rewardmodel.services.evaluation import evaluate, figures


class Command(BaseCommand):
    help = "Evaluate a project's promoted reward model, or another checkpoint, on a frozen dataset."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("project", help="the project's slug")
        parser.add_argument("--checkpoint", metavar="NAME", help="default: the promoted one")
        parser.add_argument("--dataset", metavar="HASH", help="default: the newest")
        parser.add_argument("--split", choices=["train", "validation", "test"], default="test")

    def handle(self, *args: Any, **options: Any) -> None:
        project = find_project(options["project"])
        name = options["checkpoint"]
        try:
            checkpoint = find_checkpoint(project, name) if name else promoted_checkpoint(project)
            if options["dataset"]:
                dataset = find_dataset(project, options["dataset"])
            else:
                dataset = DatasetVersion.objects.filter(project=project).latest("pk")
            found = figures(evaluate(checkpoint.location, dataset=dataset, split=options["split"]))
        except DatasetVersion.DoesNotExist:
            raise CommandError(f"{project.slug}: no dataset is frozen; freeze_dataset makes one") from None
        except (NothingPromoted, ValueError) as error:  # CheckpointError and DatasetError are ValueErrors
            raise CommandError(str(error)) from error
        low, high = found["interval"]
        self.stdout.write(
            f"{checkpoint} on {options['split']} of {dataset}: {found['accuracy']:.1%} "
            f"({low:.1%} to {high:.1%}) of {found['pairs']} pairs, "
            f"{found['accuracy_by_prompt']:.1%} by prompt over {found['prompts']} prompts"
        )

"""`manage.py freeze_dataset`: freeze a project's finished rankings for training."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from annotation.management.projects import find_project
from rewardmodel.models.datasets import SplitBy
from rewardmodel.services.datasets import NothingToFreeze, freeze_dataset
from rewardmodel.services.splits import Shares


class Command(BaseCommand):
    help = "Freeze a project's finished rankings, split by prompt. The same rankings give the same version."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("project", help="the project's slug")
        parser.add_argument(
            "--shares",
            nargs=3,
            type=float,
            default=[0.8, 0.1, 0.1],
            metavar=("TRAIN", "VALIDATION", "TEST"),
            help="shares of the prompts; they add up to 1 (default: 0.8 0.1 0.1)",
        )
        parser.add_argument(
            "--split",
            choices=SplitBy.values,
            default=SplitBy.PUBLISHED,
            help="published: prompts that a dataset published in a split stay there, the others are split by "
            "a hash of their text; hash: all are (default: published)",
        )
        parser.add_argument(
            "--soft-labels",
            action="store_true",
            help="add to each pair the probability that people prefer its first image, all opinions together",
        )
        parser.add_argument(
            "--ratings",
            action="store_true",
            help="add how each image was rated for alignment and fidelity, and which problems it has",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        project = find_project(options["project"])
        try:
            version = freeze_dataset(
                project=project,
                shares=Shares(*options["shares"]),
                split_by=options["split"],
                soft_labels=options["soft_labels"],
                ratings=options["ratings"],
            )
        except (NothingToFreeze, ValueError) as error:
            raise CommandError(str(error)) from error
        self.stdout.write(f"{version.hash}  {version.path}")
        for split, counts in version.counts.items():
            figures = ", ".join(f"{number} {name}" for name, number in counts.items())
            self.stdout.write(f"{split:<10} {figures}")
        if version.left_out:
            self.stdout.write(f"left out   {version.left_out} rankings whose images are not at hand")
        for split, count in version.repeated.items():
            self.stdout.write(f"left out   {count} {split} rankings whose text is in another split too")

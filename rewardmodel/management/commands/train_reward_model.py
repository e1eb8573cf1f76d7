"""`manage.py train_reward_model`: train on what people said; compare, and promote if better."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from annotation.management.projects import find_project
from rewardmodel.management.rows import describe_checkpoint, find_checkpoint, find_dataset
from rewardmodel.models import TrainingRun
from rewardmodel.runs.command import add_config_argument, add_run_arguments, config_from, work_on
from rewardmodel.services.training import queue_training, share_training, train


class Command(BaseCommand):
    help = (
        "Train a project's reward model in this process, compare it on the test split with the promoted one, "
        "promote it if it is as surely better as the project wants, and score the project's images with it."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--dataset", metavar="HASH", help="a frozen dataset; without it, freeze one now")
        parser.add_argument("--initial", metavar="NAME", help="the checkpoint to start from")
        parser.add_argument(
            "--follow", action="store_true", help="under torchrun: take part in the runs of another host"
        )
        add_config_argument(parser, of="RewardConfig", example="epochs=3")
        add_run_arguments(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        """Under torchrun the first process alone knows the run; the others of its host help it, without the
        database. Those of another host have files of their own.
        """
        from rewardmodel.learning.training import join
        from rewardmodel.learning.training.distributed import is_launched, rank
        from rewardmodel.learning.training.signals import end_with_parent

        if is_launched():
            end_with_parent()
        if options["follow"]:
            if rank() == 0:
                raise CommandError("--follow is for torchrun on another host than the first")
            share_training()
            return
        if rank() > 0:
            join()
            return
        run = work_on(TrainingRun, train, options=options, queue=lambda: self.queue(options))
        if run.state == TrainingRun.State.FINISHED:
            self.stdout.write(describe_checkpoint(run.checkpoint))
            self.stdout.write(f"{run.seconds:.0f} s, at most {(run.peak_memory or 0) / 2**20:.0f} MiB")

    def queue(self, options: dict[str, Any]) -> TrainingRun:
        project = find_project(options["project"])
        return queue_training(
            project=project,
            dataset=find_dataset(project, options["dataset"]) if options["dataset"] else None,
            initial=find_checkpoint(project, options["initial"]) if options["initial"] else None,
            config=config_from(options),
        )

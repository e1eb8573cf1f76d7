"""`manage.py evaluate_reward_model`: what checkpoints are worth on frozen datasets, in one table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from annotation.management.projects import find_project
from annotation.models import Project
from annotation.statistics.notation import percent, percent_interval
from rewardmodel.learning import available_scores
from rewardmodel.management.rows import find_checkpoint, find_dataset
from rewardmodel.models import DatasetVersion, Evaluation, EvaluationRun, RewardCheckpoint
from rewardmodel.models.datasets import SPLITS
from rewardmodel.runs.command import add_run_arguments, work_on
from rewardmodel.selectors import NothingPromoted, list_evaluations, promoted_checkpoint
from rewardmodel.services.evaluations import evaluate_models, queue_evaluation

ALL = "all"


class Command(BaseCommand):
    help = (
        "Evaluate reward models of a project on its frozen datasets, in this process, and keep the figures."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--checkpoint",
            action="append",
            metavar="NAME",
            help="one model, may be given again; or all (default, without a baseline: the promoted one)",
        )
        parser.add_argument(
            "--baseline",
            action="append",
            choices=[*available_scores(), ALL],
            metavar="NAME",
            help=f"one of {', '.join(available_scores())}, may be given again; or all",
        )
        parser.add_argument(
            "--dataset",
            action="append",
            metavar="HASH",
            help="one dataset by the start of its hash, may be given again; or all (default: the newest)",
        )
        parser.add_argument("--split", choices=SPLITS, default="test")
        add_run_arguments(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        run = work_on(EvaluationRun, evaluate_models, options=options, queue=lambda: self.queue(options))
        for evaluation in list_evaluations(run):
            self.stdout.write(in_words(evaluation))

    def queue(self, options: dict[str, Any]) -> EvaluationRun:
        project = find_project(options["project"])
        baselines = list(dict.fromkeys(options["baseline"] or ()))
        named = options["checkpoint"] or not baselines
        return queue_evaluation(
            project=project,
            checkpoints=_checkpoints(project, options["checkpoint"]) if named else [],
            baselines=available_scores() if ALL in baselines else baselines,
            datasets=_datasets(project, options["dataset"]),
            split=options["split"],
        )


def in_words(evaluation: Evaluation) -> str:
    """One line: accuracy with its interval, beside it what people reach where that is known."""
    figures = evaluation.figures
    accuracy, by_prompt = figures["accuracy"], figures["accuracy_by_prompt"]
    line = (
        f"{evaluation}: {percent(accuracy['value'])} "
        f"({percent_interval(accuracy['low'], accuracy['high'])}) of {accuracy['count']} pairs, "
        f"{percent(by_prompt['value'])} by prompt over {accuracy['prompts']} prompts"
    )
    for name in ("recall", "filter"):
        line += "".join(f", {name}@{share['k']} {percent(share['value'])}" for share in figures[name])
    people = evaluation.ceiling
    return line if people is None else f"{line}; people {percent(people)}"


def _checkpoints(project: Project, names: Sequence[str] | None) -> list[RewardCheckpoint]:
    if names == [ALL]:
        return list(RewardCheckpoint.objects.filter(project=project).order_by("pk"))
    if names:
        return [find_checkpoint(project, name) for name in dict.fromkeys(names)]
    try:
        return [promoted_checkpoint(project)]
    except NothingPromoted as error:
        raise CommandError(str(error)) from error


def _datasets(project: Project, starts: Sequence[str] | None) -> list[DatasetVersion]:
    if starts and starts != [ALL]:
        return [find_dataset(project, start) for start in dict.fromkeys(starts)]
    datasets = list(DatasetVersion.objects.filter(project=project).order_by("pk"))
    if not datasets:
        raise CommandError(f"{project.slug}: no dataset is frozen; freeze_dataset makes one")
    return datasets if starts else datasets[-1:]

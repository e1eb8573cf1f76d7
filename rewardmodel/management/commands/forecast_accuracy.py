"""`manage.py forecast_accuracy`: what more rankings would bring a project's reward model."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from annotation.management.projects import find_project
from annotation.statistics.estimates import NotEnough
from annotation.statistics.learning_curve import Forecast
from annotation.statistics.notation import percent, percent_interval
from rewardmodel.runs.waking import wake
from rewardmodel.selectors import accuracy_forecast
from rewardmodel.services.training import NotTrainable, queue_learning_curve

OTHERS = "begun from another model, configured otherwise, or may know the test prompts"


class Command(BaseCommand):
    help = "Print test accuracy by rankings learned from, and a forecast of it at more rankings."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("project", help="the project's slug")
        parser.add_argument(
            "--more",
            type=int,
            nargs="+",
            default=[],
            metavar="N",
            help="finished rankings more than the dataset has",
        )
        parser.add_argument(
            "--measure",
            action="store_true",
            help="ask workers for trainings on a quarter and half of the newest dataset, which it needs",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        project = find_project(options["project"])
        if any(number < 1 for number in options["more"]):
            raise CommandError("--more: a forecast is for 1 ranking more, or more than that")
        if options["measure"]:
            try:
                runs = queue_learning_curve(project=project)
            except NotTrainable as error:
                raise CommandError(str(error)) from error
            for run in runs:
                wake(run)
                self.stdout.write(f"asked for {run}, on {run.rankings} rankings")
            return
        forecast = accuracy_forecast(project, options["more"])
        if isinstance(forecast, NotEnough):
            raise CommandError(f"{project.slug}: {forecast.reason}; --measure asks for trainings on parts")
        self.stdout.write(f"on the test split of dataset {forecast.dataset}")
        for size, accuracy in forecast.points:
            self.stdout.write(f"{size:>8} rankings learned from: {percent(accuracy)}")
        if forecast.left_out:
            self.stdout.write(f"{forecast.left_out:>8} left out: {OTHERS}")
        for number, ahead in forecast.more.items():
            self.stdout.write(f"{number:>8} rankings more: {_in_words(ahead)}")


def _in_words(forecast: Forecast) -> str:
    return f"{percent(forecast.value)} ({percent_interval(forecast.low, forecast.high)})"

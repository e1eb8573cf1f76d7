"""`manage.py open_study`: a blind comparison of generators by the project's annotators."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from annotation.management.projects import find_project
from annotation.services.imports import ImportRefused
from annotation.services.imports.texts import read_lines
from annotation.statistics.notation import percent
from refl.management.rows import find_generator
from refl.models import Study, StudyConfig
from refl.selectors.study_figures import study_power
from refl.services.studies import open_study
from refl.services.study_plans import PROMPTS, CannotStudy
from rewardmodel.runs.waking import wake

DEFAULT = StudyConfig()


class Command(BaseCommand):
    help = (
        "Open a blind study: images by each of the generators, of held-out prompts with the same seeds, in "
        "the annotators' queue once all are made. It closes by itself when its interval leaves one half "
        "out, however often that is looked at."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("project", help="the project's slug")
        parser.add_argument(
            "--generators",
            nargs="+",
            required=True,
            metavar="NAME",
            help="two or more of the project's generators; the others are compared with the first",
        )
        parser.add_argument("--name", default="", help="of the study; default: the generators' names")
        parser.add_argument(
            "--design",
            choices=Study.Design.values,
            default=DEFAULT.design,
            help="a task shows two generators' images, or every generator's (default pairs)",
        )
        parser.add_argument(
            "--captions",
            type=int,
            metavar="N",
            help=f"prompts; default: {PROMPTS}, or all held-out ones where there are fewer",
        )
        parser.add_argument(
            "--prompts", type=Path, metavar="FILE", help="ask about the prompts of this file, one a line"
        )
        parser.add_argument(
            "--images-per-caption", type=int, default=1, metavar="K", help="seeds of each prompt (default 1)"
        )
        parser.add_argument(
            "--opinions", type=int, default=1, metavar="N", help="annotators asked about a task (default 1)"
        )
        parser.add_argument(
            "--confidence", type=float, default=DEFAULT.confidence, help="of the intervals (default 0.95)"
        )
        parser.add_argument(
            "--margin",
            type=float,
            default=DEFAULT.margin,
            help="no difference: the whole interval is so near one half (default 0.1)",
        )
        parser.add_argument(
            "--until-all-in",
            action="store_true",
            help="do not stop when it is decided: ask for every opinion",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        project = find_project(options["project"])
        generators = [find_generator(project, name) for name in options["generators"]]
        try:
            texts = [text for _, text in read_lines(options["prompts"])] if options["prompts"] else None
            study = open_study(
                project=project,
                generators=generators,
                name=options["name"],
                design=options["design"],
                captions=options["captions"],
                images_per_caption=options["images_per_caption"],
                opinions=options["opinions"],
                confidence=options["confidence"],
                margin=options["margin"],
                stops=not options["until_all_in"],
                texts=texts,
                rng=random.Random(),
            )
        except (CannotStudy, ImportRefused, OSError) as error:
            raise CommandError(str(error)) from error
        wake(study.run)
        self.stdout.write(in_words(study))


def in_words(study: Study) -> str:
    """Return what was opened, what makes its images, and what it can find."""
    config = study.settings
    power = study_power(config, generators=study.entries.count())
    return (
        f"study {study.pk}, {study.name}: {config.captions} prompts, {study.tasks.count()} tasks. "
        f"{study.run} makes its images; without a worker: manage.py generate --run {study.run.pk}\n"
        f"a preference of {percent(power.rate, 0)} is decided after {power.mean:.0f} prompts on average "
        f"({power.fixed} if looked at once); this study decides it with probability "
        f"{percent(power.chance or 0.0, 0)}"
    )

"""`manage.py generate`: images for prompts that have none."""

from __future__ import annotations

import random
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from annotation.management.projects import find_project
from annotation.models import Generation, Project
from refl.management.rows import find_generator
from refl.models import SamplingRun
from refl.services.sampling import queue_sampling
from refl.services.study_images import make_images
from rewardmodel.management.rows import find_checkpoint
from rewardmodel.models import RewardCheckpoint
from rewardmodel.runs.command import add_run_arguments, work_on
from rewardmodel.selectors import promoted_checkpoint


class Command(BaseCommand):
    help = (
        "Make images for a project's prompts that have none, in this process, and ask for opinions on them. "
        "An image is decided by its prompt and its number, so another start makes no other images."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--generator", metavar="NAME", help="one of the project's generators")
        parser.add_argument("--per-prompt", type=int, metavar="K", help="images of each prompt")
        parser.add_argument("--prompts", type=int, metavar="N", help="for so many prompts; default: all")
        parser.add_argument(
            "--least-sure",
            action="store_true",
            help="let the promoted reward model choose the prompts, by the project's rule",
        )
        parser.add_argument(
            "--pool-factor",
            type=int,
            default=4,
            metavar="F",
            help="with --least-sure: try F prompts for each that is chosen (default 4)",
        )
        parser.add_argument(
            "--best-of",
            type=int,
            default=1,
            metavar="N",
            help="make N candidates of each image; the one a reward model likes best is kept (default 1)",
        )
        parser.add_argument(
            "--reward", metavar="NAME", help="with --best-of: the reward model; default: the promoted one"
        )
        add_run_arguments(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        if options["project"] and not (options["generator"] and options["per_prompt"]):
            raise CommandError("a project needs a --generator and the number of images --per-prompt")
        run = work_on(SamplingRun, make_images, options=options, queue=lambda: self.queue(options))
        if run.state == SamplingRun.State.FINISHED:
            made = Generation.objects.filter(prompt__in=run.config["pool"], generator=run.generator.name)
            prompts = made.order_by().values("prompt").distinct().count()
            self.stdout.write(f"{made.count()} images for {prompts} prompts, {run.seconds:.0f} s")

    def queue(self, options: dict[str, Any]) -> SamplingRun:
        project = find_project(options["project"])
        generator = find_generator(project, options["generator"])
        return queue_sampling(
            generator=generator,
            per_prompt=options["per_prompt"],
            prompts=options["prompts"],
            checkpoint=promoted_checkpoint(project) if options["least_sure"] else None,
            pool_factor=options["pool_factor"],
            best_of=options["best_of"],
            best_by=best_by(project, options),
            rng=random.Random(generator.pk),
        )


def best_by(project: Project, options: dict[str, Any]) -> RewardCheckpoint | None:
    """Return the reward model that keeps the best of several candidates. Raises: CommandError."""
    if options["reward"]:
        return find_checkpoint(project, options["reward"])
    return promoted_checkpoint(project) if options["best_of"] > 1 else None

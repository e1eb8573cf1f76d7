"""`manage.py score_images`: score a project's images, or files, with its promoted reward model."""

from __future__ import annotations

from dataclasses import asdict
from itertools import islice
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from tqdm import tqdm

from annotation.management.projects import find_project
from rewardmodel.learning.cli.listings import PromptedImage, images_in
from rewardmodel.learning.cli.main import add_row_options
from rewardmodel.learning.cli.results import Tally, score_files, write_rows
from rewardmodel.management.rows import find_checkpoint
from rewardmodel.models import RewardCheckpoint
from rewardmodel.scoring import scorer
from rewardmodel.selectors import NothingPromoted, promoted_checkpoint
from rewardmodel.services.scores import images_to_score, score_generations
from rewardmodel.services.unreadable import TooManyUnreadable, check_unreadable

NAMED = 200  # how many images that were passed over are named


class Command(BaseCommand):
    help = (
        "Score all images of a project that its promoted reward model has not scored yet; "
        "or, with --prompt, print the scores of files."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("project", help="the project's slug")
        parser.add_argument(
            "files", nargs="*", type=Path, help="image files and folders to score for --prompt"
        )
        parser.add_argument("--prompt", help="the text the files are to answer")
        parser.add_argument("--checkpoint", metavar="NAME", help="default: the promoted one")
        add_row_options(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        if bool(options["files"]) != bool(options["prompt"]):
            raise CommandError("files need a --prompt, and a --prompt needs files")
        project, name = find_project(options["project"]), options["checkpoint"]
        try:
            checkpoint = find_checkpoint(project, name) if name else promoted_checkpoint(project)
            if options["files"]:
                self.print_scores(checkpoint, options)
            else:
                self.score_project(checkpoint)
        # CheckpointError and UnreadableImage are ValueErrors.
        except (NothingPromoted, TooManyUnreadable, ValueError) as error:
            raise CommandError(str(error)) from error

    def print_scores(self, checkpoint: RewardCheckpoint, options: dict[str, Any]) -> None:
        images = [PromptedImage(options["prompt"], file) for file in images_in(options["files"])]
        rows = score_files(
            scorer(checkpoint),
            images,
            keep_going=options["keep_going"],
            png_info=options["write_png_info"],
            over=checkpoint.base_reward,
        )
        tally = Tally()
        write_rows((asdict(row) for row in tally.count(rows)), self.stdout, options["format"])
        if tally.failed:
            raise CommandError(f"{tally.failed} files failed")

    def score_project(self, checkpoint: RewardCheckpoint) -> None:
        with tqdm(unit="image", desc=str(checkpoint), dynamic_ncols=True) as bar:

            def draw(done: int, wanted: int) -> None:
                bar.total = wanted
                bar.update(done - bar.n)

            scored = score_generations(checkpoint=checkpoint, on_chunk=draw)
        for name, reason in islice(scored.unreadable.items(), NAMED):
            self.stderr.write(f"{name}: {reason}")
        self.stdout.write(f"{scored.images} images scored by {checkpoint}")
        if scored.unreadable:
            more = f", of which the first {NAMED} are named" if len(scored.unreadable) > NAMED else ""
            self.stdout.write(f"{len(scored.unreadable)} images passed over{more}")
        check_unreadable(scored.unreadable, images=images_to_score(checkpoint))

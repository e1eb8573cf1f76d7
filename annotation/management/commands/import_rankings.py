"""import_rankings PROJECT FILE"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils.timezone import now
from tqdm import tqdm

from annotation.management.projects import find_project
from annotation.models.prompts import Split
from annotation.services.imports import ImportRefused, import_rankings
from annotation.services.imports.formats import READERS

NAMED = 200  # how many left-out images are named


class Command(BaseCommand):
    help = "Add rankings that people gave elsewhere, as accepted answers."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("project", help="the project's slug")
        parser.add_argument(
            "file", type=Path, help="what an export wrote, or a published dataset's file or folder"
        )
        parser.add_argument(
            "--format", choices=sorted(READERS), help="what it is, where its first row does not tell"
        )
        parser.add_argument(
            "--split",
            choices=Split.values,
            default="",
            help="the split the file is published as, where its name (metadata-test.parquet) does not tell; "
            "datasets keep its prompts there",
        )
        parser.add_argument(
            "--skip-broken",
            action="store_true",
            help="name images that are missing, broken or there twice, and go on; rankings that show one are "
            "left out of datasets (default: nothing is imported)",
        )
        images = parser.add_mutually_exclusive_group()
        images.add_argument(
            "--images", type=Path, help="the folder image paths are relative to (default: the file's)"
        )
        images.add_argument(
            "--without-images", action="store_true", help="take the rankings alone, without the image files"
        )

    def handle(
        self,
        *,
        project: str,
        file: Path,
        format: str | None,
        images: Path | None,
        without_images: bool,
        skip_broken: bool,
        split: str,
        **options: Any,
    ) -> None:
        try:
            with tqdm(desc="rankings", unit="", disable=None, file=self.stderr) as bar:
                done = import_rankings(
                    project=find_project(project),
                    file=file,
                    now=now(),
                    format=format,
                    images=images,
                    without_images=without_images,
                    skip_broken=skip_broken,
                    split=split,
                    progress=bar.update,
                )
        except ImportRefused as error:
            raise CommandError(str(error)) from None
        self.stdout.write(done.counts)
        if done.splits:
            counts = ", ".join(f"{done.splits.get(split, 0):,} {split}" for split in Split.values)
            self.stdout.write(f"published splits: {counts}")
        for reason in done.left_out[:NAMED]:
            self.stderr.write(reason)
        if done.left_out:
            more = f", of which the first {NAMED} are named" if len(done.left_out) > NAMED else ""
            self.stdout.write(f"{len(done.left_out):,} images left out{more}")

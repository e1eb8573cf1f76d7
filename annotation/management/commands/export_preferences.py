"""export_preferences PROJECT --format F --to DIR"""

from __future__ import annotations

from argparse import ArgumentTypeError
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils.timezone import now
from tqdm import tqdm

from annotation.management.projects import find_project
from annotation.services.exports import FORMATS, Counts, ExportFailed, export_to_folder


class Command(BaseCommand):
    help = (
        "Write the project's accepted rankings, with a card, into a new folder. "
        "When it is interrupted, the same command goes on where it stopped."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("project", help="the project's slug")
        parser.add_argument("--format", choices=sorted(FORMATS), default="imagereward")
        parser.add_argument(
            "--to", type=Path, required=True, metavar="DIR", help="a folder that is not there yet"
        )
        parser.add_argument(
            "--after", type=_moment, metavar="TIME", help="only what was accepted later, as 2026-03-14T09:00"
        )
        parser.add_argument("--until", type=_moment, metavar="TIME", help="only what was accepted by then")
        parser.add_argument(
            "--without-images",
            action="store_true",
            help="leave image files out",
        )

    def handle(
        self,
        *,
        project: str,
        format: str,
        to: Path,
        after: datetime | None,
        until: datetime | None,
        without_images: bool,
        **options: Any,
    ) -> None:
        with tqdm(desc="rankings", unit="", disable=None, file=self.stderr) as bar:

            def show(counts: Counts, wanted: int) -> None:
                bar.total = wanted
                bar.update(counts.rankings - bar.n)

            try:
                done = export_to_folder(
                    project=find_project(project),
                    format=format,
                    folder=to,
                    now=now(),
                    after=after,
                    until=until,
                    with_images=not without_images,
                    progress=show,
                )
            except ExportFailed as error:
                raise CommandError(str(error)) from None
        self.stdout.write(
            f"{done.rankings:,} rankings of {done.images:,} images: "
            f"{done.pairs:,} pairs in different slots, {done.ties:,} tied; in {to}"
        )


def _moment(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise ArgumentTypeError(f"{text!r} is no time as 2026-03-14T09:00") from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)

"""push_dataset PROJECT OWNER/NAME --licence LICENCE"""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandError, CommandParser
from django.utils.timezone import now

from annotation.hub import HubRefused, with_licence
from annotation.management.projects import find_project
from annotation.management.pushes import PushCommand
from annotation.models import Generation
from annotation.selectors.exports import Selection
from annotation.services.exports import FORMATS, ExportFailed, export_to_folder


class Command(PushCommand):
    kind = "dataset"
    help = "Push a project's accepted rankings to a hub, with a card; people have pseudonyms."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("project", help="the project's slug")
        super().add_arguments(parser)
        parser.add_argument("--format", choices=sorted(FORMATS), default="pickapic")
        parser.add_argument("--without-images", action="store_true", help="leave the files out")
        parser.add_argument(
            "--with-flagged", action="store_true", help="also images that are flagged as perhaps harmful"
        )

    def handle(self, *, project: str, repository: str, format: str, licence: str, **options: Any) -> None:
        row, moment, with_images = find_project(project), now(), not options["without_images"]
        with self.folder_for(repository, licence) as temporary:
            flagged = _flagged(Selection(row, moment)) if with_images and FORMATS[format].has_images else 0
            if flagged and not options["with_flagged"]:
                raise HubRefused(
                    f"{flagged:,} of its images are flagged: --with-flagged sends them, --without-images none"
                )
            folder = temporary / "export"
            try:
                counts = export_to_folder(
                    project=row, format=format, folder=folder, now=moment, with_images=with_images
                )
            except ExportFailed as error:
                raise CommandError(str(error)) from None
            card = folder / "README.md"
            card.write_text(with_licence(card.read_text(encoding="utf-8"), licence), encoding="utf-8")
            address = self.push(
                folder,
                project=row,
                subject=format,
                repository=repository,
                is_public=options["public"],
                message=f"{counts.rankings} rankings of {project}",
            )
        self.stdout.write(f"{counts.rankings:,} rankings pushed: {address}")


def _flagged(selection: Selection) -> int:
    """Return how many of the selection's images are flagged."""
    ranked = Generation.objects.filter(placements__ranking__assignment__in=selection.assignments().order_by())
    return ranked.filter(is_flagged=True).distinct().count()

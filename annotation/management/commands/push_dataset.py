"""push_dataset PROJECT OWNER/NAME --licence LICENCE"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils.timezone import now

from annotation.hub import HubRefused, check_licence, check_repository, push_folder, with_licence
from annotation.management.projects import find_project
from annotation.models import Action, Generation
from annotation.selectors.exports import Selection
from annotation.services.actions import record_action
from annotation.services.exports import FORMATS, ExportFailed, export_to_folder


class Command(BaseCommand):
    help = "Push a project's accepted rankings to a hub, with a card; people have pseudonyms."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("project", help="the project's slug")
        parser.add_argument("repository", metavar="OWNER/NAME", help="made if need be, private")
        parser.add_argument("--format", choices=sorted(FORMATS), default="pickapic")
        parser.add_argument("--licence", required=True, help="as the Hub names it: cc-by-4.0, other ...")
        parser.add_argument("--public", action="store_true", help="the repository is public, or may be")
        parser.add_argument("--without-images", action="store_true", help="leave the files out")
        parser.add_argument(
            "--with-flagged", action="store_true", help="also images that are flagged as perhaps harmful"
        )

    def handle(self, *, project: str, repository: str, format: str, licence: str, **options: Any) -> None:
        row, moment, with_images = find_project(project), now(), not options["without_images"]
        try:
            check_repository(repository)
            check_licence(licence)
            flagged = _flagged(Selection(row, moment)) if with_images and FORMATS[format].has_images else 0
            if flagged and not options["with_flagged"]:
                raise HubRefused(
                    f"{flagged:,} of its images are flagged: --with-flagged sends them, --without-images none"
                )
            with tempfile.TemporaryDirectory(prefix="laurel-push-") as temporary:
                folder = Path(temporary) / "export"
                counts = export_to_folder(
                    project=row, format=format, folder=folder, now=moment, with_images=with_images
                )
                card = folder / "README.md"
                card.write_text(with_licence(card.read_text(encoding="utf-8"), licence), encoding="utf-8")
                address = push_folder(
                    folder,
                    repository=repository,
                    kind="dataset",
                    is_public=options["public"],
                    message=f"{counts.rankings} rankings of {project}",
                )
                record_action(Action.Kind.EXPORTED, project=row, by=None, subject=f"{format} to {repository}")
        except (HubRefused, ExportFailed) as error:
            raise CommandError(str(error)) from None
        self.stdout.write(f"{counts.rankings:,} rankings pushed: {address}")


def _flagged(selection: Selection) -> int:
    """Return how many of the selection's images are flagged."""
    ranked = Generation.objects.filter(placements__ranking__assignment__in=selection.assignments().order_by())
    return ranked.filter(is_flagged=True).distinct().count()

"""What commands that push to a hub share: their arguments, a folder to fill, and the log."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from django.core.management.base import BaseCommand, CommandError, CommandParser

from annotation.hub import HubRefused, check_licence, check_repository, push_folder
from annotation.models import Action, Project
from annotation.services.actions import record_action


class PushCommand(BaseCommand):
    """A command that fills a folder and pushes it; `kind` is "dataset" or "model"."""

    kind: str

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("repository", metavar="OWNER/NAME", help="made if need be, private")
        parser.add_argument(
            "--licence",
            required=True,
            help="as the Hub names it: cc-by-4.0, openrail++, other ...",
        )
        parser.add_argument("--public", action="store_true", help="the repository is public, or may be")

    @contextmanager
    def folder_for(self, repository: str, licence: str) -> Iterator[Path]:
        """Provide an empty folder to fill and push. Raises: CommandError, also for a HubRefused within."""
        try:
            check_repository(repository)
            check_licence(licence)
            with tempfile.TemporaryDirectory(prefix="laurel-push-") as folder:
                yield Path(folder)
        except HubRefused as error:
            raise CommandError(str(error)) from None

    def push(
        self, folder: Path, *, project: Project, subject: str, repository: str, is_public: bool, message: str
    ) -> str:
        """Push the folder, note that in the project's log, and return its address. Raises: HubRefused."""
        address = push_folder(
            folder, repository=repository, kind=self.kind, is_public=is_public, message=message
        )
        record_action(Action.Kind.EXPORTED, project=project, by=None, subject=f"{subject} to {repository}")
        return address

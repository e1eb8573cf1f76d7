"""restore FOLDER"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import DatabaseError
from django.utils.timezone import now
from tqdm import tqdm

from annotation.services.recovery.restore import put_back, restore, verify
from annotation.services.recovery.store import BackupFailed


class Command(BaseCommand):
    help = (
        "Put a backup in the place of an empty database and its files. Every byte is verified before "
        "anything is touched; interrupted, the same command goes on."
    )
    requires_system_checks = []
    requires_migrations_checks = False

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("folder", type=Path, help="of `manage.py backup`")
        parser.add_argument("--backup", default="", metavar="TIME", help="one of its points; else the newest")
        parser.add_argument("--check", action="store_true", help="verify the backup, and do nothing")
        parser.add_argument(
            "--faulty",
            action="store_true",
            help="only put back stored files that are gone or changed, as manage.py doctor says",
        )
        parser.add_argument("--replace", action="store_true", help="even where the database is not empty")

    def handle(
        self, *, folder: Path, backup: str, check: bool, faulty: bool, replace: bool, **options: Any
    ) -> None:
        try:
            if faulty:
                self._put_back(folder)
                return
            with self._bar("verified") as checked, self._bar("restored") as done:

                def checking(entry: object) -> None:
                    checked.update()

                if check:
                    _, point, about = verify(folder=folder, point=backup, progress=checking)
                    self.stdout.write(f"{point.folder} is whole: {about.files:,} files of {about.taken_at}")
                    return
                restored = restore(
                    folder=folder,
                    point=backup,
                    replace=replace,
                    now=now(),
                    checking=checking,
                    progress=lambda entry: done.update(),
                )
        except (BackupFailed, DatabaseError, OSError, BotoCoreError, ClientError) as error:
            raise CommandError(str(error).strip()) from None
        for name in restored.about.missing:
            self.stderr.write(self.style.WARNING(f"{name}: was gone already when the backup was made"))
        for path in restored.outside:
            self.stderr.write(self.style.WARNING(f"{path}: is named by the database, and not here"))
        for name in restored.other_keys:
            self.stderr.write(
                self.style.WARNING(
                    f"{name} is another one than on the machine that was backed up: set that one"
                )
            )
        if restored.set_aside:
            self.stdout.write(f"files that the backup does not know were moved to {restored.set_aside}")
        self.stdout.write(
            f"restored what was committed by {restored.about.taken_at}: the database and "
            f"{restored.about.files:,} files, of which {restored.copied:,} were not here"
        )

    def _put_back(self, folder: Path) -> None:
        done, left = put_back(folder=folder)
        for name in done:
            self.stdout.write(f"{name}: put back")
        if left:
            raise CommandError(f"{len(left)} files are in no backup as they were, such as {left[0]}")

    def _bar(self, what: str) -> tqdm[Any]:
        return tqdm(desc=what, unit="", disable=None, file=self.stderr)

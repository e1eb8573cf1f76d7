"""backup FOLDER"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import DatabaseError
from tqdm import tqdm

from annotation.services.recovery.backup import back_up
from annotation.services.recovery.store import BackupFailed, BackupFolder


class Command(BaseCommand):
    help = (
        "Back up the database and every file that belongs to it into a folder, while everything goes on. "
        "Into the same folder again, only what is new is copied; interrupted, the same command goes on."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("folder", type=Path, help="a new folder, or one of earlier backups")
        parser.add_argument("--keep", type=int, metavar="N", help="remove all backups there but the newest N")

    def handle(self, *, folder: Path, keep: int | None, **options: Any) -> None:
        if keep is not None and keep < 1:
            raise CommandError("--keep: 1 or more")
        try:
            with tqdm(desc="files", unit="", disable=None, file=self.stderr) as bar:
                point = back_up(folder=folder, progress=lambda entry: bar.update())
            removed = BackupFolder(folder).forget(but=keep) if keep else []
        except (BackupFailed, DatabaseError, OSError, BotoCoreError, ClientError) as error:
            raise CommandError(f"no backup was made: {str(error).strip()}") from None
        about = point.about()
        for what, names in (("is gone", about.missing), ("has changed since it was stored", about.changed)):
            for name in names:
                self.stderr.write(self.style.WARNING(f"{name}: {what}"))
        for path in about.outside:
            self.stderr.write(self.style.WARNING(f"{path}: outside of LAUREL_VAR, not in the backup"))
        self.stdout.write(f"{about.files:,} files, {about.bytes:,} bytes and the database: {point.folder}")
        if removed:
            self.stdout.write(f"removed {len(removed)} older backups")

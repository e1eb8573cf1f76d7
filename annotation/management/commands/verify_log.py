"""verify_log"""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from annotation.selectors.log import check_log


class Command(BaseCommand):
    help = (
        "Check that no entry of the log was changed, removed or put in past it, and name the first that was."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--expect",
            default="",
            metavar="NUMBER:HASH",
            help="what an earlier check printed, and must still be there: the end of a log can be cut",
        )

    def handle(self, *, expect: str, **options: Any) -> None:
        check = check_log(expected=expect)
        if check.fault:
            raise CommandError(
                f"{check.fault}; the {check.entries:,} entries before are as they were written"
            )
        self.stdout.write(f"{check.entries:,} entries are as they were written; the newest is {check.newest}")

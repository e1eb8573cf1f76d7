"""make_token NAME"""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils.timezone import now

from annotation.management.people import find_user
from annotation.management.projects import find_project
from annotation.services.people.tokens import issue_token


class Command(BaseCommand):
    help = "Make a token for the API that acts as somebody, and print it: it is shown once."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("username", help="whose roles it has")
        parser.add_argument("--name", default="command line", help="what will use it")
        parser.add_argument("--days", type=int, default=90, help="how long it is valid; 0: for ever")
        parser.add_argument("--project", metavar="SLUG", help="for this project alone")
        parser.add_argument("--reads-only", action="store_true", help="refuse what would change something")

    def handle(self, *, username: str, name: str, days: int, **options: Any) -> None:
        if not 0 <= days <= 36500:
            raise CommandError("--days: is not 0 to 36500")
        _, secret = issue_token(
            user=find_user(username),
            name=name[:100],
            days=days or None,
            now=now(),
            project=find_project(options["project"]) if options["project"] else None,
            reads_only=options["reads_only"],
        )
        self.stdout.write(secret)

"""erase_person NAME"""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from annotation.models import User
from annotation.services.erasure.people import CannotErase, erase_person


class Command(BaseCommand):
    help = "Erase a person: their account and their name everywhere. It cannot be undone."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("name", help="of the account")
        answers = parser.add_mutually_exclusive_group(required=True)
        answers.add_argument("--keep-answers", action="store_true", help="under a pseudonym")
        answers.add_argument(
            "--remove-answers", action="store_true", help="and ask somebody else where they counted"
        )

    def handle(self, *, name: str, keep_answers: bool, **options: Any) -> None:
        user = User.objects.filter(username=name).first()
        if user is None:
            raise CommandError(f"nobody is called {name!r}")
        try:
            erased = erase_person(user, keep_answers=keep_answers)
        except CannotErase as error:
            raise CommandError(str(error)) from None
        self.stdout.write(
            f"{name} is {erased.pseudonym} now: {erased.answers:,} answers removed, {erased.staying:,} stay, "
            f"{erased.entries:,} entries of the log changed"
        )

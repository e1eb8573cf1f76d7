"""reset_password NAME"""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.urls import reverse

from annotation.models import User
from annotation.services.people.resets import make_reset_key


class Command(BaseCommand):
    help = "Print a link by which somebody, a superuser too, sets a new password. It works once."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("name", help="the user name")

    def handle(self, *, name: str, **options: Any) -> None:
        user = User.objects.filter(username=name, is_active=True).first()
        if user is None:
            raise CommandError(f"there is no active account {name!r}")
        key = make_reset_key(user, project=None, by=None)
        self.stdout.write(f"{reverse('reset-password', args=[key])} after the address of your Laurel")

"""createsuperuser: Django's, which says in a line that a name looks like another's."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.management.commands import createsuperuser
from django.core.management.base import CommandError
from django.db import IntegrityError


class Command(createsuperuser.Command):
    def handle(self, *args: Any, **options: Any) -> str | None:
        try:
            return super().handle(*args, **options)
        except IntegrityError:
            raise CommandError("There is an account of this name, or of one that looks like it.") from None

"""add_member PROJECT NAME ROLE"""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from annotation.forms.programs import filled_in
from annotation.forms.projects import MemberForm
from annotation.management.projects import find_project
from annotation.management.settings import refused_in_a_line
from annotation.models import Membership
from annotation.services.people.members import MemberRefused, give_role


class Command(BaseCommand):
    help = "Give somebody a role in a project, in place of the one they have."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("project", help="the project's slug")
        parser.add_argument("username")
        parser.add_argument("role", choices=Membership.Role.values)
        parser.add_argument(
            "--new-account", action="store_true", help="make an account of this name, and print its password"
        )

    def handle(self, *, project: str, username: str, role: str, new_account: bool, **options: Any) -> None:
        row, fields = find_project(project), {"username": username, "role": role, "new_account": new_account}
        with refused_in_a_line():
            form = filled_in(MemberForm, fields)
        try:
            membership, password = give_role(project=row, by=None, **form.cleaned_data)
        except MemberRefused as error:
            raise CommandError(f"{username}: {error}") from None
        self.stdout.write(f"{membership.user} is {membership.role} of {project}.")
        if password is not None:
            self.stdout.write(f"password: {password}")

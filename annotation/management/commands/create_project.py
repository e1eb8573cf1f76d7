"""create_project SLUG --admin NAME"""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.template.loader import render_to_string

from annotation.forms.programs import filled_in
from annotation.forms.projects import FIRST_GUIDELINE, NewProjectForm
from annotation.management.people import find_user
from annotation.management.settings import add_arguments, read_settings, read_text, refused_in_a_line
from annotation.models import Project
from annotation.services.projects.projects import create_project


class Command(BaseCommand):
    help = "Make a project, as the page New project does; settings that are left out are the page's."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("slug", help="the short name, part of the project's address")
        parser.add_argument("--name", help="everybody who takes part sees it (default: the short name)")
        parser.add_argument("--admin", required=True, metavar="NAME", help="user name of its first admin")
        add_arguments(parser)

    def handle(self, *, slug: str, name: str | None, admin: str, **options: Any) -> None:
        settings = read_settings(file=options["file"], pairs=options["set"])
        user = find_user(admin)
        if Project.objects.filter(slug=slug).exists():
            raise CommandError(f"there is a project {slug!r} already: change_project changes it")
        text = read_text(options["guideline"]) if options["guideline"] else render_to_string(FIRST_GUIDELINE)
        with refused_in_a_line():
            form = filled_in(
                NewProjectForm, {"name": name or slug, **settings, "slug": slug, "guideline": text}
            )
            fields = {field: value for field, value in form.cleaned_data.items() if field != "material"}
            create_project(admin=user, **fields)
        self.stdout.write(f"Project {slug} is made; {admin} is its admin.")

"""change_project SLUG"""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import transaction

from annotation.forms.programs import filled_in
from annotation.forms.projects import GuidelineForm, ProjectForm
from annotation.management.projects import find_project
from annotation.management.settings import add_arguments, read_settings, read_text, refused_in_a_line
from annotation.services.projects.projects import SettingsFrozen, change_settings, publish_guideline


class Command(BaseCommand):
    help = "Change a project's settings, as its page Settings does, or publish a new guideline."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("project", help="the project's slug")
        parser.add_argument("--name", help="everybody who takes part sees it")
        add_arguments(parser)

    def handle(self, *, project: str, name: str | None, **options: Any) -> None:
        row = find_project(project)
        settings = read_settings(file=options["file"], pairs=options["set"])
        settings |= {"name": name} if name else {}
        if not settings and not options["guideline"]:
            raise CommandError("nothing to change: --set NAME=VALUE, --from, --name or --guideline")
        text = {"text": read_text(options["guideline"])} if options["guideline"] else None
        with refused_in_a_line(), transaction.atomic():
            published = filled_in(GuidelineForm, text).cleaned_data if text else None
            if settings:
                form = filled_in(ProjectForm, settings, instance=row)
                try:
                    change_settings(project=row, **{field: form.cleaned_data[field] for field in settings})
                except SettingsFrozen as error:
                    raise CommandError(
                        f"{error}: stays as it is, work is open already, or being imported"
                    ) from None
            guideline = publish_guideline(project=row, **published) if published else None
        if settings:
            self.stdout.write(f"Settings stored: {', '.join(settings)}.")
        if guideline:
            self.stdout.write(f"Version {guideline.version} of the guideline is published.")

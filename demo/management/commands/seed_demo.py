"""`manage.py seed_demo`: the small world's project, people, prompts, images, models and schedule."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand

from demo.seeding import seed_demo


class Command(BaseCommand):
    help = "Set up the demo project (the small world). Doing it again changes nothing."

    def handle(self, *args: Any, **options: Any) -> None:
        project = seed_demo()
        self.stdout.write(f"Demo project {project.slug!r}: {project.prompts.count()} prompts.")

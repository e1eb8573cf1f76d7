"""`manage.py schedule`: enter what beat is to start into the database."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from typing import Any

from django.apps import apps
from django.core.management.base import BaseCommand
from django_celery_beat.models import PeriodicTask


class Command(BaseCommand):
    help = (
        "Enter the tasks of every app into the schedule; entries that are there stay as the admin left them."
    )

    def handle(self, *args: Any, **options: Any) -> None:
        for app in apps.get_app_configs():
            if find_spec(f"{app.name}.schedule"):
                import_module(f"{app.name}.schedule").schedule_tasks()
        for entry in PeriodicTask.objects.select_related("interval").order_by("name"):
            state = "on" if entry.enabled else "off"
            self.stdout.write(f"{entry.name}: {entry.task}, {entry.scheduler}, {state}")

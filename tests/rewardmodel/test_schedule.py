"""What beat starts."""

import pytest
from django.core.management import call_command
from django_celery_beat.models import PeriodicTask

from config.celery import app
from rewardmodel.schedule import ENTRIES, schedule_tasks

pytestmark = pytest.mark.django_db


def test_every_entry_names_a_task_there_is():
    app.loader.import_default_modules()
    assert {task for task, _ in ENTRIES.values()} <= app.tasks.keys()


def test_an_entry_stays_as_the_admin_left_it():
    schedule_tasks()
    name = next(iter(ENTRIES))
    PeriodicTask.objects.filter(name=name).update(enabled=False)
    schedule_tasks()
    assert PeriodicTask.objects.filter(name__in=ENTRIES).count() == len(ENTRIES)
    assert not PeriodicTask.objects.get(name=name).enabled


def test_the_command_enters_the_tasks_of_every_app(capsys):
    call_command("schedule")
    printed = capsys.readouterr().out
    for name in ENTRIES:
        assert name in printed

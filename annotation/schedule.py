"""The tasks that beat starts, and how often; admins may change or disable every entry."""

from __future__ import annotations

from django.db import transaction
from django_celery_beat.models import IntervalSchedule, PeriodicTask

# Name shown in the admin -> task, seconds between two starts.
ENTRIES = {
    "Compare answers with known ones": ("annotation.tasks.compare_checks", 60),
    "Ask once more where opinions differ": ("annotation.tasks.ask_for_more_opinions", 60),
    "Tell webhooks what happened": ("annotation.tasks.send_webhooks", 5),
    "Send mails that wait": ("annotation.tasks.send_mails", 60),
    "Forget what is out of date": ("annotation.tasks.forget", 24 * 60 * 60),
    "Look whether stored files are what was stored": ("annotation.tasks.look_at_stored_files", 60 * 60),
    "Check that the log was not changed": ("annotation.tasks.verify_log", 24 * 60 * 60),
    "Bring back interrupted exports": ("annotation.tasks.tend_exports", 15),
    "Bring back interrupted imports": ("annotation.tasks.tend_imports", 15),
}


def schedule_tasks() -> None:
    """Add this app's tasks to the schedule. Existing entries stay as admins left them."""
    for name, (task, seconds) in ENTRIES.items():
        schedule_task(name=name, task=task, seconds=seconds)


@transaction.atomic
def schedule_task(*, name: str, task: str, seconds: int) -> PeriodicTask:
    """Add one task; an entry of that name stays as admins left it, but calls the task by its present name."""
    interval = IntervalSchedule.objects.filter(every=seconds, period=IntervalSchedule.SECONDS).first()
    if interval is None:
        interval = IntervalSchedule.objects.create(every=seconds, period=IntervalSchedule.SECONDS)
    # A message not taken before the next one is sent is redundant.
    entry, _ = PeriodicTask.objects.get_or_create(
        name=name, defaults={"task": task, "interval": interval, "expire_seconds": seconds}
    )
    if entry.task != task:
        entry.task = task
        entry.save(update_fields=["task"])
    return entry

"""What beat starts for this app; admins may change or switch off every entry."""

from __future__ import annotations

from annotation.schedule import schedule_task

# Name shown in the admin -> task, seconds between two starts.
ENTRIES = {
    "Bring back interrupted runs": ("rewardmodel.tasks.tend_runs", 15),
}


def schedule_tasks() -> None:
    """Enter this app's tasks into the schedule. Entries that are there stay as the admin left them."""
    for name, (task, seconds) in ENTRIES.items():
        schedule_task(name=name, task=task, seconds=seconds)

"""What beat starts for this app; admins may change or switch off every entry."""

from __future__ import annotations

from annotation.schedule import schedule_task

# Name shown in the admin -> task, seconds between two starts.
ENTRIES = {
    "Train when enough preferences came in": ("refl.tasks.look_for_preferences", 30),
    "Measure waiting reward models again": ("refl.tasks.look_for_test_pairs", 30),
    "Tune when a reward model was promoted": ("refl.tasks.look_for_promotions", 30),
    "Make images when a generator was tuned": ("refl.tasks.look_for_generators", 30),
    "Open and close blind studies": ("refl.tasks.tend_studies", 15),
}


def schedule_tasks() -> None:
    """Enter this app's tasks into the schedule; entries that are there stay as the admin left them."""
    for name, (task, seconds) in ENTRIES.items():
        schedule_task(name=name, task=task, seconds=seconds)

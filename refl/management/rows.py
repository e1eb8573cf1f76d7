"""Rows that command lines name."""

from __future__ import annotations

from django.core.management.base import CommandError

from annotation.models import Project
from refl.models import Generator


def find_generator(project: Project, name: str) -> Generator:
    """Raises: CommandError naming the generators there are."""
    ours = Generator.objects.filter(project=project)
    found = ours.filter(name=name).first()
    if found is None:
        there = ", ".join(ours.values_list("name", flat=True)) or "none"
        raise CommandError(f"{project.slug}: no generator {name!r}; there is: {there}")
    return found

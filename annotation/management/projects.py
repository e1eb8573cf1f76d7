"""Projects that command lines name."""

from __future__ import annotations

from django.core.management.base import CommandError

from annotation.models import Project


def find_project(slug: str) -> Project:
    """Raises: CommandError naming the projects there are."""
    found = Project.objects.filter(slug=slug).first()
    if found is None:
        there = ", ".join(Project.objects.order_by("slug").values_list("slug", flat=True)) or "none"
        raise CommandError(f"no project {slug!r}; there is: {there}")
    return found

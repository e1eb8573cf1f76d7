"""Looking up the project of a command line."""

from __future__ import annotations

from django.core.management.base import CommandError

from annotation.models import Project


def find_project(slug: str) -> Project:
    """Return the project. Raises: CommandError naming those that exist."""
    project = Project.objects.filter(slug=slug).first()
    if project is None:
        slugs = ", ".join(Project.objects.order_by("slug").values_list("slug", flat=True)) or "none"
        raise CommandError(f"no project {slug!r}; there is: {slugs}")
    return project

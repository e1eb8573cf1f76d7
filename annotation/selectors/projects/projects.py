"""Which short names projects have."""

from __future__ import annotations

from itertools import count

from django.utils.text import slugify

from annotation.models import Project

LENGTH = Project._meta.get_field("slug").max_length or 50
PAGES = {"new"}  # addresses beside the projects'


def free_slug(name: str) -> str:
    """A short name made from the name that no project has, with a number where one has it."""
    stem = slugify(name)[: LENGTH - 5].strip("-_") or "project"
    taken = PAGES | set(Project.objects.filter(slug__startswith=stem).values_list("slug", flat=True))
    numbered = (f"{stem}-{number}" for number in count(2))
    return stem if stem not in taken else next(slug for slug in numbered if slug not in taken)

"""Rows that command lines name."""

from __future__ import annotations

from annotation.models import Project
from refl.models import Generator
from rewardmodel.management.rows import find_named


def find_generator(project: Project, name: str) -> Generator:
    """Raises: CommandError naming the generators there are."""
    return find_named(Generator.objects.all(), project, name, what="generator")

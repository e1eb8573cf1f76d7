"""What Home shows of each project's loop, to whoever may see it."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from annotation.models import Project
from annotation.selectors.projects.images import Picture
from refl.loop.facts import read_facts
from refl.loop.queue import in_words, read_loop
from refl.selectors.outcomes import newest_images

IMAGES = 6


@dataclass(frozen=True)
class LoopPanel:
    """Where the loop of a project stands, and its newest images."""

    headline: str
    pictures: list[Picture]


def read_panels(projects: Collection[Project]) -> dict[int, LoopPanel]:
    """Return the panel of each project by its id, in a fixed number of statements."""
    pictures = newest_images([project.pk for project in projects], count=IMAGES)
    return {
        pk: LoopPanel(in_words(read_loop(facts)), pictures.get(pk, []))
        for pk, facts in read_facts(projects).items()
    }

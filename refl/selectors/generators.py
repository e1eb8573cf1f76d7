"""Find the generator to tune or sample next."""

from __future__ import annotations

from annotation.models import Project
from refl.models import Generator


class NoGenerator(Exception):
    """The project has no generator that may be used."""


def newest_kept(project: Project) -> Generator:
    """Return the generator that is tuned next and makes the next images.

    One whose pipeline nobody has looked at yet is passed over: its name may be mistyped.

    Raises: NoGenerator.
    """
    kept = Generator.objects.kept().filter(project=project).order_by("-pk")
    generator = kept.seen().first()
    if generator is None and kept:
        raise NoGenerator(f"{project.slug}: {kept[0]} is not seen yet; name it in a run, which loads it")
    if generator is None:
        raise NoGenerator(f"{project.slug}: no generator is kept; register one")
    return generator

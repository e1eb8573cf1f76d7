"""The files of tuned generators, for the scheduled look at what is stored."""

from __future__ import annotations

from annotation.registry import KnownFile, register_files
from annotation.services.recovery.looks import name_of
from refl.models import Generator


def known_generators(position: str, limit: int) -> list[KnownFile]:
    """Those that runs made; the hashes of their files are recorded when they are first looked at."""
    made = Generator.objects.filter(run__isnull=False, pk__gt=int(position or 0))
    rows = made.select_related("run").order_by("pk")[:limit]
    folders = [(row, row.run.folder / "pipeline") for row in rows if row.run]
    return [KnownFile(str(row.pk), name_of(folder), folder) for row, folder in folders]


register_files("generators", known_generators)

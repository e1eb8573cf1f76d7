"""The files of datasets and reward models, for the scheduled look at what is stored."""

from __future__ import annotations

from annotation.registry import KnownFile, register_files
from annotation.services.recovery.looks import name_of
from rewardmodel.models import DatasetVersion, RewardCheckpoint


def known_datasets(position: str, limit: int) -> list[KnownFile]:
    rows = DatasetVersion.objects.filter(pk__gt=int(position or 0)).order_by("pk")[:limit]
    files = [(row, row.path / "rankings.jsonl") for row in rows]
    return [KnownFile(str(row.pk), name_of(file), file, row.hash) for row, file in files]


def known_checkpoints(position: str, limit: int) -> list[KnownFile]:
    """Those that runs made; the hashes of their files are recorded when they are first looked at."""
    made = RewardCheckpoint.objects.filter(run__isnull=False, pk__gt=int(position or 0))
    rows = made.select_related("run").order_by("pk")[:limit]
    folders = [(row, row.run.folder / "best") for row in rows if row.run]
    return [KnownFile(str(row.pk), name_of(folder), folder) for row, folder in folders]


register_files("datasets", known_datasets)
register_files("reward models", known_checkpoints)

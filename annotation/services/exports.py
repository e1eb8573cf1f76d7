"""Writing exports to a folder, whole or not at all, each with its card."""

from __future__ import annotations

import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from annotation.models import Project
from annotation.selectors.exports import as_json_list, export_imagereward

# Name of the format -> the items of its one JSON file.
FORMATS = {"imagereward": export_imagereward}


class ExportRefused(Exception):
    """Why nothing was written."""


@dataclass
class Export:
    """What was written. `pairs` are pairs of images in different slots, `ties` in the same one."""

    rankings: int = 0
    images: int = 0
    pairs: int = 0
    ties: int = 0

    def count(self, slots: list[int]) -> None:
        ties = sum(held * (held - 1) // 2 for held in Counter(slots).values())
        self.rankings += 1
        self.images += len(slots)
        self.pairs += len(slots) * (len(slots) - 1) // 2 - ties
        self.ties += ties


def write_export(
    *,
    project: Project,
    format: str,
    folder: Path,
    now: datetime,
    progress: Callable[[int], object] | None = None,
) -> Export:
    """Write FORMAT.json and its card README.md into a new folder, which appears when it is complete.

    Args: progress: called with the number of rankings written since the last call.
    Raises: ExportRefused when the folder holds something already, or cannot be made.
    """
    try:
        if folder.exists() and any(folder.iterdir()):
            raise ExportRefused(f"{folder}: holds something already")
        folder.parent.mkdir(parents=True, exist_ok=True)
        unfinished = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    except OSError as error:
        raise ExportRefused(f"{folder}: cannot be written ({error.strerror})") from None
    export = Export()

    def counted() -> Iterator[dict[str, Any]]:
        for item in FORMATS[format](project):
            export.count(item["ranking"])
            if progress:
                progress(1)
            yield item

    try:
        with (unfinished / f"{format}.json").open("w", encoding="utf-8") as file:
            file.writelines(as_json_list(counted()))
        (unfinished / "README.md").write_text(card(project, format, export, now), encoding="utf-8")
        unfinished.chmod(0o755)  # mkdtemp makes it for its owner alone
        unfinished.replace(folder)
    except BaseException:
        shutil.rmtree(unfinished, ignore_errors=True)
        raise
    return export


def card(project: Project, format: str, export: Export, now: datetime) -> str:
    """What the export holds, for who reads it next."""
    guideline = project.guidelines.first()
    rows = {
        "rankings": export.rankings,
        "ranked images": export.images,
        "pairs in different slots": export.pairs,
        "pairs tied": export.ties,
        "pairs, ties included": export.pairs + export.ties,
    }
    table = "\n".join(f"| {name} | {count:,} |" for name, count in rows.items())
    return f"""# {project.name}

Human preferences on generated images, exported {now:%Y-%m-%d %H:%M} UTC in the format `{format}`.
Only accepted answers are in it, one item each. Slots are 1 to {project.slots}, 1 is best; equal slots tie.
Guideline: {f"version {guideline.version}" if guideline else "none"}.

| | |
|---|---|
{table}
"""

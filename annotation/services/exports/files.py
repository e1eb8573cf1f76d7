"""Writing an export's files, batch after batch, so that a broken-off export goes on where it stopped."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

from annotation.selectors.exports import ExportedRanking, Selection, batches, extent
from annotation.services.exports.cards import Counts, card
from annotation.services.exports.format import ExportFailed, Format, Plan

FILES, CHECKPOINT, LOCK = "files", "checkpoint.json", "lock"


class ExportBusy(ExportFailed):
    """Another process writes these files."""


@dataclass
class _Checkpoint:
    """Where the export stands: prompts up to the id `after` are in the files, which are so long (`sizes`)."""

    plan: Plan
    after: int = 0
    number: int = 0  # batches written
    counts: Counts = field(default_factory=Counts)
    sizes: dict[str, int] = field(default_factory=dict)


def plan_export(*, selection: Selection, format: Format, images: bool) -> Plan:
    """Look at how much there is to write."""
    held = extent(selection)
    return Plan(
        project=selection.project.slug,
        format=format.name,
        after=selection.after.isoformat() if selection.after else None,
        until=selection.until.isoformat(),
        images=images and format.has_images,
        several=held.most_opinions > 1,
        rankings=held.rankings,
        prompts=held.prompts,
        annotators=held.annotators,
    )


def unfinished_plan(folder: Path) -> Plan | None:
    """What the folder was to hold when the export broke off; None when there is nothing to go on with."""
    checkpoint = _read(folder)
    return checkpoint.plan if checkpoint else None


def write_files(
    *,
    selection: Selection,
    format: Format,
    plan: Plan,
    folder: Path,
    tell: Callable[[Counts], object],
) -> Counts:
    """Write FOLDER/files, card included; what is there of the same plan is kept.

    Memory is that of one batch. Interrupted at any moment and called again, it ends with the same files.

    Args: tell: called for every ranking with what was written so far; what it raises ends the writing.
    Raises: ExportFailed; ExportBusy when another process is at it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with _alone(folder):
        checkpoint = _resume(folder, plan)
        files = folder / FILES
        for batch in batches(selection, after=checkpoint.after):
            checkpoint.number += 1
            format.write(files, checkpoint.number, _counted(batch.rankings, checkpoint.counts, tell), plan)
            checkpoint.after = batch.last
            _keep(folder, checkpoint)
        format.finish(files, plan)
        text = card(selection.project, format, plan, checkpoint.counts)
        (files / "README.md").write_text(text, encoding="utf-8")
    return checkpoint.counts


def _counted(
    rankings: Iterable[ExportedRanking], counts: Counts, tell: Callable[[Counts], object]
) -> Iterator[ExportedRanking]:
    for ranking in rankings:
        counts.add(ranking)
        yield ranking
        tell(counts)


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Hold the folder; the system lets go of it when the process dies. Raises: ExportBusy."""
    with (folder / LOCK).open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise ExportBusy(f"{folder}: another process writes here") from None
        yield


def _resume(folder: Path, plan: Plan) -> _Checkpoint:
    """Bring the files back to how they were after the last whole batch, or begin anew."""
    files = folder / FILES
    checkpoint = _read(folder)
    if checkpoint is None or checkpoint.plan != plan or not _cut_back(files, checkpoint.sizes):
        shutil.rmtree(files, ignore_errors=True)
        checkpoint = _Checkpoint(plan)
    files.mkdir(exist_ok=True)
    _keep(folder, checkpoint)
    return checkpoint


def _cut_back(files: Path, sizes: dict[str, int]) -> bool:
    """Remove what a broken-off batch left; False when something is missing that had been written."""
    for file in _written(files):
        if str(file.relative_to(files)) not in sizes:
            file.unlink()
    for name, size in sizes.items():
        file = files / name
        if not file.is_file() or file.stat().st_size < size:
            return False
        os.truncate(file, size)
    return True


def _written(files: Path) -> list[Path]:
    return [path for path in files.rglob("*") if path.is_file()]


def _read(folder: Path) -> _Checkpoint | None:
    try:
        kept = json.loads((folder / CHECKPOINT).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    return _Checkpoint(**{**kept, "plan": Plan(**kept["plan"]), "counts": Counts(**kept["counts"])})


def _keep(folder: Path, checkpoint: _Checkpoint) -> None:
    """Written whole, then renamed."""
    files = folder / FILES
    checkpoint.sizes = {str(file.relative_to(files)): file.stat().st_size for file in _written(files)}
    fresh = folder / f"{CHECKPOINT}.new"
    fresh.write_text(json.dumps(asdict(checkpoint)), encoding="utf-8")
    fresh.replace(folder / CHECKPOINT)

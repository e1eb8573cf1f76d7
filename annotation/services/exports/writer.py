"""Writing an export's files, a batch at a time and resumable, and packing them into one zip."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import zipfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

from annotation.saving import write_whole
from annotation.selectors.exports import ExportedRanking, Selection, batches, extent
from annotation.services.exports.cards import Counts, card
from annotation.services.exports.formats.format import PARTS, ExportFailed, Format, Part, Plan

FILES, CHECKPOINT, LOCK = "files", "checkpoint.json", "lock"
EPOCH = (1980, 1, 1, 0, 0, 0)  # the earliest date in a zip: equal files give an equal archive
CHUNK = 1 << 20
PACKED = (".zip", ".parquet")  # already compressed


class ExportBusy(ExportFailed):
    """Another process is writing these files."""


@dataclass
class _Checkpoint:
    """Progress of an export: all prompts up to the id `after` are in the files."""

    plan: Plan
    after: int = 0
    number: int = 0  # of the last part written
    counts: Counts = field(default_factory=Counts)
    sizes: dict[str, int] = field(default_factory=dict)  # file, relative to FILES -> bytes


def plan_export(*, selection: Selection, format: Format, images: bool) -> Plan:
    """Return the plan of an export: what was requested, and the number of rankings to write."""
    size = extent(selection)
    return Plan(
        project=selection.project.slug,
        format=format.name,
        after=selection.after.isoformat() if selection.after else None,
        until=selection.until.isoformat(),
        images=images and format.has_images,
        several=size.most_per_prompt > 1,
        rankings=size.rankings,
        prompts=size.prompts,
        annotators=size.annotators,
        axes=[axis.name for axis in selection.project.rating_axes],
    )


def unfinished_plan(folder: Path) -> Plan | None:
    """Return the plan of the export interrupted in this folder, or None."""
    checkpoint = _load_checkpoint(folder)
    return checkpoint.plan if checkpoint else None


def write_files(
    *,
    selection: Selection,
    format: Format,
    plan: Plan,
    folder: Path,
    progress: Callable[[Counts], object],
) -> Counts:
    """Write FOLDER/files, the card included, with one batch in memory at a time.

    1. Lock the folder (`hold_folder`).
    2. Truncate the files to what an interrupted call with the same plan finished, or start over (`_resume`).
    3. Write each further batch, and a checkpoint after it.
    4. Finish the files and write the card.

    Interrupted at any moment and called again, it ends with the same files.

    Args: progress: called after each ranking with the counts so far; an exception in it ends the call.
    Raises: ExportFailed; ExportBusy when another process is writing in the folder.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with hold_folder(folder):
        checkpoint = _resume(folder, plan)
        files = folder / FILES
        for batch in batches(selection, after=checkpoint.after):
            checkpoint.number += 1
            rankings = _count(batch.rankings, checkpoint.counts, progress)
            format.write(files, Part(checkpoint.number, rankings, plan))
            checkpoint.after = batch.last
            _save_checkpoint(folder, checkpoint)
        format.finish(files, plan)
        text = card(selection.project, format, plan, checkpoint.counts)
        (files / "README.md").write_text(text, encoding="utf-8")
    return checkpoint.counts


def write_archive(*, files: Path, archive: Path, progress: Callable[[], object]) -> tuple[int, str]:
    """Zip the files under the archive's name; the archive appears when it is complete.

    Args: progress: called for every piece of at most 1 MiB; an exception in it stops the work.
    Returns: size in bytes, sha256. Raises: ExportBusy as `write_files`.
    """
    with hold_folder(files.parent), write_whole(archive) as unfinished:
        with zipfile.ZipFile(unfinished, "w") as pack:
            for file in sorted(_files_in(files)):
                name = file.relative_to(files)
                if name.parts[0] == PARTS:
                    continue
                entry = zipfile.ZipInfo(f"{archive.stem}/{name}", EPOCH)
                entry.compress_type = zipfile.ZIP_STORED if file.suffix in PACKED else zipfile.ZIP_DEFLATED
                entry.external_attr = 0o644 << 16
                with pack.open(entry, "w", force_zip64=True) as out:
                    for piece in _pieces(file, progress):
                        out.write(piece)
        digest, size = hashlib.sha256(), 0
        for piece in _pieces(unfinished, progress):
            digest.update(piece)
            size += len(piece)
    return size, digest.hexdigest()


def _pieces(file: Path, progress: Callable[[], object]) -> Iterator[bytes]:
    with file.open("rb") as content:
        while piece := content.read(CHUNK):
            yield piece
            progress()


def _count(
    rankings: Iterable[ExportedRanking], counts: Counts, progress: Callable[[Counts], object]
) -> Iterator[ExportedRanking]:
    for ranking in rankings:
        counts.add(ranking)
        yield ranking
        progress(counts)


@contextmanager
def hold_folder(folder: Path) -> Iterator[None]:
    """Lock the folder for this process; the system unlocks it when the process dies. Raises: ExportBusy."""
    with (folder / LOCK).open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise ExportBusy(f"{folder}: another process writes here") from None
        yield


def _resume(folder: Path, plan: Plan) -> _Checkpoint:
    """Restore the files as they were after the last whole batch, or start over."""
    files = folder / FILES
    checkpoint = _load_checkpoint(folder)
    if checkpoint is None or checkpoint.plan != plan or not _truncate(files, checkpoint.sizes):
        shutil.rmtree(files, ignore_errors=True)
        checkpoint = _Checkpoint(plan)
    files.mkdir(exist_ok=True)
    _save_checkpoint(folder, checkpoint)
    return checkpoint


def _truncate(files: Path, sizes: dict[str, int]) -> bool:
    """Remove what an interrupted batch left; return False when earlier output is missing."""
    for file in _files_in(files):
        if str(file.relative_to(files)) not in sizes:
            file.unlink()
    for name, size in sizes.items():
        file = files / name
        if not file.is_file() or file.stat().st_size < size:
            return False
        os.truncate(file, size)
    return True


def _files_in(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def _load_checkpoint(folder: Path) -> _Checkpoint | None:
    try:
        fields = json.loads((folder / CHECKPOINT).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    return _Checkpoint(**{**fields, "plan": Plan(**fields["plan"]), "counts": Counts(**fields["counts"])})


def _save_checkpoint(folder: Path, checkpoint: _Checkpoint) -> None:
    files = folder / FILES
    checkpoint.sizes = {str(file.relative_to(files)): file.stat().st_size for file in _files_in(files)}
    with write_whole(folder / CHECKPOINT) as unfinished:
        unfinished.write_text(json.dumps(asdict(checkpoint)), encoding="utf-8")

"""Exporting straight into a folder, for the command line."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from annotation.models import Project
from annotation.selectors.exports import Selection
from annotation.services.exports.cards import Counts
from annotation.services.exports.formats import FORMATS
from annotation.services.exports.formats.format import PARTS, ExportFailed, Format, Plan
from annotation.services.exports.writer import FILES, plan_export, unfinished_plan, write_files
from annotation.services.judgements.revisions import settle_answers


def export_to_folder(
    *,
    project: Project,
    format: str,
    folder: Path,
    now: datetime,
    after: datetime | None = None,
    until: datetime | None = None,
    with_images: bool = True,
    progress: Callable[[Counts, int], object] | None = None,
) -> Counts:
    """Write the export into a new folder, which appears when it is complete.

    An interrupted call is resumed from a hidden folder beside it, without answers accepted since it began.

    Args: progress: called after each ranking with the counts so far and the total number of rankings.
    Raises: ExportFailed when the folder is not empty, or cannot be made; ExportBusy.
    """
    unfinished = folder.parent / f".{folder.name}.unfinished"
    try:
        if folder.exists() and any(folder.iterdir()):
            raise ExportFailed(f"{folder}: holds something already")
        unfinished.mkdir(parents=True, exist_ok=True)
        selection = Selection(project, min(until or now, now), after)
        plan = _resumed_plan(selection, FORMATS[format], with_images, unfinished, has_end=until is not None)
        selection = Selection(project, datetime.fromisoformat(plan.until), after)
        settle_answers(project=project, until=selection.until)
        counts = write_files(
            selection=selection,
            format=FORMATS[format],
            plan=plan,
            folder=unfinished,
            progress=lambda counts: progress and progress(counts, plan.rankings),
        )
        shutil.rmtree(unfinished / FILES / PARTS, ignore_errors=True)
        (unfinished / FILES).replace(folder)
    except OSError as error:
        raise ExportFailed(f"{folder}: cannot be written ({error.strerror})") from None
    shutil.rmtree(unfinished, ignore_errors=True)
    return counts


def _resumed_plan(
    selection: Selection, format: Format, images: bool, unfinished: Path, *, has_end: bool
) -> Plan:
    """Return the plan of the interrupted call if it has the same arguments, else a new one.

    Args: has_end: whether the end of the selection was given. If not, the interrupted call's is used.
    """
    plan = plan_export(selection=selection, format=format, images=images)
    older = unfinished_plan(unfinished)
    names = ["project", "format", "after", "images", *(["until"] if has_end else [])]
    return older if older and all(getattr(older, name) == getattr(plan, name) for name in names) else plan

"""An export straight into a folder, for whoever sits at the machine."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from annotation.models import Project
from annotation.selectors.exports import Selection
from annotation.services.exports.cards import Counts
from annotation.services.exports.files import FILES, plan_export, unfinished_plan, write_files
from annotation.services.exports.format import PARTS, ExportFailed, Format, Plan
from annotation.services.exports.formats import FORMATS
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
    tell: Callable[[Counts, int], object] | None = None,
) -> Counts:
    """Write the export into a new folder, which appears when it is complete.

    What an interrupted call left, in a hidden folder beside it, is gone on with; answers accepted since that
    call began are then left out, as they would have been.

    Args: tell: called for every ranking with what was written so far and the rankings there are.
    Raises: ExportFailed when the folder holds something already, or cannot be made; ExportBusy.
    """
    unfinished = folder.parent / f".{folder.name}.unfinished"
    chosen = FORMATS[format]
    try:
        if folder.exists() and any(folder.iterdir()):
            raise ExportFailed(f"{folder}: holds something already")
        unfinished.mkdir(parents=True, exist_ok=True)
        selection = Selection(project, min(until or now, now), after)
        plan = _plan(selection, chosen, with_images, unfinished, is_open=until is None)
        selection = Selection(project, datetime.fromisoformat(plan.until), after)
        settle_answers(project=project, until=selection.until)
        counts = write_files(
            selection=selection,
            format=chosen,
            plan=plan,
            folder=unfinished,
            tell=lambda counts: tell and tell(counts, plan.rankings),
        )
        files = unfinished / FILES
        shutil.rmtree(files / PARTS, ignore_errors=True)
        files.replace(folder)
    except OSError as error:
        raise ExportFailed(f"{folder}: cannot be written ({error.strerror})") from None
    shutil.rmtree(unfinished, ignore_errors=True)
    return counts


def _plan(selection: Selection, format: Format, images: bool, unfinished: Path, *, is_open: bool) -> Plan:
    """The plan of the call that was interrupted, if it asked for the same; else a new one.

    Args: is_open: the end was not named, so that of the interrupted call holds.
    """
    fresh = plan_export(selection=selection, format=format, images=images)
    begun = unfinished_plan(unfinished)
    names = ["project", "format", "after", "images", *([] if is_open else ["until"])]
    if begun and all(getattr(begun, name) == getattr(fresh, name) for name in names):
        return begun
    return fresh

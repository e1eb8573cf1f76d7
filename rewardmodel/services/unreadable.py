"""Images that a run cannot read: it passes them over, says which, and stops only where there are too many."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path

from annotation.statistics import notation
from rewardmodel.models import Run
from rewardmodel.runs.execution import PermanentFailure

logger = logging.getLogger(__name__)
MOST_UNREADABLE = 0.1  # ours: share of the images; with more missing, figures would be of other data
REPORTED = 50  # names of unreadable images kept with a run
THREADS = 4  # that read images


class TooManyUnreadable(PermanentFailure):
    """More than MOST_UNREADABLE of the images cannot be read; the message names the first of them."""


def look_at(images: Iterable[Path]) -> dict[Path, str]:
    """Return what is wrong with those of the images that cannot be read, or are not what was stored."""
    from rewardmodel.learning.training.inspection import what_is_wrong

    files = list(dict.fromkeys(images))
    with ThreadPoolExecutor(THREADS) as pool:
        return {file: why for file, why in zip(files, pool.map(what_is_wrong, files), strict=True) if why}


def check_unreadable(unreadable: Mapping[str, str], *, images: int) -> None:
    """Raises: TooManyUnreadable where so many of the images cannot be read. Args: unreadable: name -> why."""
    from rewardmodel.learning.training.inspection import describe_unreadable

    if len(unreadable) > MOST_UNREADABLE * images:
        raise TooManyUnreadable(
            f"{describe_unreadable(unreadable, images)}. More than {notation.percent(MOST_UNREADABLE, 0)} "
            "are too many: put them back, as `manage.py check_files` names them"
        )


def record_unreadable(run: Run, unreadable: Mapping[str, str], *, images: int, of: str) -> None:
    """Log what the run passes over, and store it for its page; nothing where all could be read.

    Args:
        unreadable: name -> why.
        of: whose images they are, as the page says it; stored again for the same, it replaces what was.
    """
    if not unreadable:
        return
    from rewardmodel.learning.training.inspection import describe_unreadable

    logger.warning("%s: %s, and passed over", of, describe_unreadable(unreadable, images))
    first = dict(islice(unreadable.items(), REPORTED))
    run.unreadable = run.unreadable | {
        of: {"images": images, "unreadable": len(unreadable), "files": first},
    }
    type(run)._default_manager.filter(pk=run.pk, attempt=run.attempt).update(unreadable=run.unreadable)

"""A look at every image before a run learns from any: one broken file must not end it hours later."""

from __future__ import annotations

import json
import os
from collections import ChainMap
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from itertools import islice
from pathlib import Path

from PIL import Image

from rewardmodel.learning.data.preprocessing import UnreadableImage, check_header
from rewardmodel.learning.data.rankings import Ranking, Rankings
from rewardmodel.learning.saving import saving
from rewardmodel.learning.training.distributed import ProcessGroup

REPORT = "images.json"
TOGETHER = 1024  # images a process looks at between two asks whether to stop
THREADS = min(os.cpu_count() or 1, 16)  # decoders let go of Python's lock
THUMBNAIL = 64  # pixels; a JPEG is decoded no larger than it needs to be for this


@dataclass(frozen=True)
class Inspection:
    """What was found.

    Attributes:
        images: how many there are.
        unreadable: file -> what is wrong with it.
        dropped: split -> rankings with such an image.
    """

    images: int
    unreadable: dict[str, str] = field(default_factory=dict)
    dropped: dict[str, int] = field(default_factory=dict)

    def keeps(self, ranking: Ranking) -> bool:
        """Whether all of its images can be read."""
        return not any(str(image) in self.unreadable for image in ranking.images)


class InspectionStopped(Exception):
    """It was asked to stop before it had seen all images."""


def inspect(
    splits: Mapping[str, Sequence[Ranking]],
    *,
    group: ProcessGroup,
    folder: Path,
    data: str,
    on_checked: Callable[[int, int], None],
    should_stop: Callable[[], bool],
    again: bool = False,
) -> Inspection:
    """Check every image of the splits, or read in the run's folder what was found before.

    The processes of a run share the images, and tell each other every so many what they found: none waits
    long for another, and all stop where one is asked to.

    Args:
        data: fingerprint of the splits, under which the result is kept.
        again: look once more if some could not be read before: perhaps they were put right.
        on_checked: called in the leading process with how many images of how many are checked.
    Raises: InspectionStopped, NotSaved; PeerFailed where another process failed.
    """
    kept = None
    with group.error_barrier():
        if group.is_main_process:
            kept = _kept(folder / REPORT, data)
    kept = group.broadcast(kept)
    if kept is not None and not (again and kept.unreadable):
        return kept
    images = list(dict.fromkeys(image for split in splits.values() for one in split for image in one.images))
    unreadable: dict[str, str] = {}
    with ThreadPoolExecutor(THREADS) as pool:
        for start in range(0, len(images), TOGETHER * group.size):
            some = images[start : start + TOGETHER * group.size]
            own = some[group.rank :: group.size]
            with group.error_barrier():
                reasons = dict(zip(own, pool.map(what_is_wrong, own), strict=True))
            everybodys = ChainMap(*group.all_gather({image: why for image, why in reasons.items() if why}))
            unreadable |= {str(image): everybodys[image] for image in some if image in everybodys}
            checked = start + len(some)
            with group.error_barrier():
                if group.is_main_process:
                    on_checked(checked, len(images))
                asked = checked < len(images) and should_stop()
            if group.any(asked):
                raise InspectionStopped(f"after {checked} of {len(images)} images")
    found = Inspection(len(images), unreadable)
    dropped = {name: _count_dropped(split, found) for name, split in splits.items()}
    found = Inspection(len(images), unreadable, dropped)
    with group.error_barrier():
        if group.is_main_process:
            _keep(folder / REPORT, data, found)
    return found


def _kept(file: Path, data: str) -> Inspection | None:
    """What was found before in the same data."""
    if not file.exists():
        return None
    kept = json.loads(file.read_text(encoding="utf-8"))
    return Inspection(**kept) if kept.pop("data") == data else None


def _keep(file: Path, data: str, found: Inspection) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    written = file.with_name(f"{REPORT}.new")
    with saving(file):
        written.write_text(json.dumps({"data": data, **asdict(found)}, indent=1), encoding="utf-8")
        os.replace(written, file)


def _count_dropped(split: Sequence[Ranking], found: Inspection) -> int:
    return sum(not found.keeps(one) for one in split) if found.unreadable else 0


def refuse(found: Inspection) -> None:
    """Raises: UnreadableImage naming the files, where there are any."""
    if found.unreadable:
        reasons = [f"{file}: {reason}" for file, reason in islice(found.unreadable.items(), 10)]
        more = len(found.unreadable) - len(reasons)
        raise UnreadableImage(
            f"{len(found.unreadable)} of {found.images} images cannot be read: {'; '.join(reasons)}"
            + (f"; and {more} more" if more else "")
            + '. Put them right, or set unreadable_images to "drop" to leave their rankings out'
        )


def what_is_wrong(image: Path) -> str:
    """Why the file is no whole image; "" if it is one.

    Each byte is read, as cheaply as the format lets: a PNG's checksums tell, a JPEG is decoded small.
    """
    try:
        if image.stat().st_size == 0:
            return "the file is empty"
        with Image.open(image) as opened:
            check_header(opened)
            if opened.format == "PNG":
                opened.verify()
            else:
                opened.draft("RGB", (THUMBNAIL, THUMBNAIL))
                opened.load()
    except FileNotFoundError:
        return "no such image"
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        return f"not a whole image ({error})".replace(f" {str(image)!r}", "")
    return ""


def usable(rankings: Rankings, found: Inspection) -> Rankings:
    """Those whose images can all be read."""
    return rankings.those(found.keeps) if found.unreadable else rankings


def unreadable_images(folder: Path) -> Collection[str]:
    """The files that the inspection in this run's folder could not read."""
    kept: dict[str, str] = json.loads((folder / REPORT).read_text(encoding="utf-8"))["unreadable"]
    return kept.keys()

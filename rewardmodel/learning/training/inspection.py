"""A check of every image before a run learns from any: one broken file must not end it hours later."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections import ChainMap
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field, replace
from itertools import islice
from pathlib import Path

from PIL import Image

from rewardmodel.learning.data.preprocessing import UnreadableImage, check_header, open_image
from rewardmodel.learning.data.rankings import Ranking, Rankings
from rewardmodel.learning.errors import Interrupted
from rewardmodel.learning.saving import write_whole
from rewardmodel.learning.training.distributed import ProcessGroup

INSPECTED = "images.json"
NAMED = 5  # unreadable files in a message
HASH = re.compile("[0-9a-f]{64}")
CHUNK = 1024  # images a process checks before it asks whether to stop
THREADS = min(os.cpu_count() or 1, 16)  # decoders release the GIL
THUMBNAIL = 64  # pixels; a JPEG is decoded no larger than it needs to be for this


@dataclass(frozen=True)
class Inspection:
    """Which images cannot be read.

    Attributes:
        images: how many were checked.
        unreadable: file -> what is wrong with it.
        dropped: split -> how many of its rankings have such an image.
    """

    images: int
    unreadable: dict[str, str] = field(default_factory=dict)
    dropped: dict[str, int] = field(default_factory=dict)

    def is_usable(self, ranking: Ranking) -> bool:
        """Whether all images of the ranking can be read."""
        return not any(str(image) in self.unreadable for image in ranking.images)

    def exceeds(self, most: float) -> bool:
        """Whether more than this share of the images cannot be read."""
        return len(self.unreadable) > most * self.images


def inspect(
    splits: Mapping[str, Sequence[Ranking]],
    *,
    root: Path,
    group: ProcessGroup,
    folder: Path,
    data: str,
    on_checked: Callable[[int, int], None],
    should_stop: Callable[[], bool],
    most: float,
) -> Inspection:
    """Check every image of the splits, or read the result of an earlier check from the run's folder.

    The processes of a run share the images and exchange results every CHUNK images: none waits long for
    another, and all stop where one is asked to. Each host may have the images under a path of its own.

    Args:
        root: what the paths of images are relative to.
        data: names the splits and their images; an earlier result counts only for the same data.
        on_checked: called in the main process with how many images of how many are checked.
        most: share of the images that may be unreadable. An earlier check that found more is made again:
            they may have been put right.
    Raises: Interrupted, NotSaved; PeerFailed where another process failed.
    """
    earlier = None
    with group.error_barrier():
        if group.is_main_process:
            earlier = _read_report(folder / INSPECTED, data)
    earlier = group.broadcast(earlier and _renamed(earlier, lambda file: _name(Path(file), root)))
    if earlier is not None and not earlier.exceeds(most):
        return _renamed(earlier, lambda name: str(root / name))
    images = list(dict.fromkeys(image for split in splits.values() for one in split for image in one.images))
    unreadable = _unreadable(images, root, group, on_checked, should_stop)
    inspection = Inspection(len(images), unreadable)
    dropped = {name: _count_dropped(split, inspection) for name, split in splits.items()}
    inspection = replace(inspection, dropped=dropped)
    with group.error_barrier():
        if group.is_main_process:
            _write_report(folder / INSPECTED, data, inspection)
    return inspection


def _unreadable(
    images: Sequence[Path],
    root: Path,
    group: ProcessGroup,
    on_checked: Callable[[int, int], None],
    should_stop: Callable[[], bool],
) -> dict[str, str]:
    """Check the images, each in one process. Raises: Interrupted; PeerFailed."""
    unreadable: dict[str, str] = {}
    with ThreadPoolExecutor(THREADS) as pool:
        for start in range(0, len(images), CHUNK * group.size):
            chunk = images[start : start + CHUNK * group.size]
            shard = chunk[group.rank :: group.size]
            with group.error_barrier():
                reasons = dict(zip(shard, pool.map(what_is_wrong, shard), strict=True))
            broken = ChainMap(
                *group.all_gather({_name(image, root): why for image, why in reasons.items() if why})
            )
            names = ((image, _name(image, root)) for image in chunk)
            unreadable |= {str(image): broken[name] for image, name in names if name in broken}
            checked = start + len(chunk)
            with group.error_barrier():
                if group.is_main_process:
                    on_checked(checked, len(images))
                stop_requested = checked < len(images) and should_stop()
            if group.any(stop_requested):
                raise Interrupted(f"after {checked} of {len(images)} images")
    return unreadable


def _name(image: Path, root: Path) -> str:
    """Return what every host calls the image, wherever its folder of images lies."""
    return str(image.relative_to(root)) if image.is_relative_to(root) else str(image)


def _renamed(inspection: Inspection, name: Callable[[str], str]) -> Inspection:
    return replace(inspection, unreadable={name(file): why for file, why in inspection.unreadable.items()})


def _read_report(file: Path, data: str) -> Inspection | None:
    """Return the result of an earlier check of the same data, or None."""
    if not file.exists():
        return None
    report = json.loads(file.read_text(encoding="utf-8"))
    return Inspection(**report) if report.pop("data") == data else None


def _write_report(file: Path, data: str, inspection: Inspection) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    with write_whole(file) as written:
        written.write_text(json.dumps({"data": data, **asdict(inspection)}, indent=1), encoding="utf-8")


def _count_dropped(split: Sequence[Ranking], inspection: Inspection) -> int:
    return sum(not inspection.is_usable(one) for one in split) if inspection.unreadable else 0


def refuse(inspection: Inspection, most: float) -> None:
    """Raises: UnreadableImage naming unreadable files, if more than this share of the images are."""
    if inspection.exceeds(most):
        refusal = describe_unreadable(inspection.unreadable, inspection.images)
        raise UnreadableImage(
            f"{refusal}. Put them right, or set "
            + (
                'unreadable_images to "drop" to leave their rankings out'
                if most == 0
                else f"most_unreadable above {most:g}, the share of which rankings may be left out"
            )
        )


def describe_unreadable(unreadable: Mapping[str, str], images: int) -> str:
    """Say in one line how many of so many images cannot be read, and name the first of them.

    Args: unreadable: file -> what is wrong with it.
    """
    reasons = [f"{file}: {reason}" for file, reason in islice(unreadable.items(), NAMED)]
    more = len(unreadable) - len(reasons)
    named = "; ".join(reasons) + (f"; and {more:,} more" if more else "")
    return f"{len(unreadable):,} of {images:,} images cannot be read: {named}"


def what_is_wrong(image: Path) -> str:
    """Return why the file is no whole image, or "" if it is one.

    Each byte is read, as cheaply as the format allows: a PNG by its checksums, a JPEG decoded small. A file
    that is named by its SHA-256 must have that.
    """
    try:
        if image.stat().st_size == 0:
            return "the file is empty"
        with open_image(image) as opened:
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
    return "" if _has_its_hash(image) else "another image than was stored under this name"


def _has_its_hash(image: Path) -> bool:
    """Whether the file has the SHA-256 that it is named by; true of one with another name."""
    if not HASH.fullmatch(image.stem):
        return True
    with image.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest() == image.stem


def usable(rankings: Rankings, inspection: Inspection) -> Rankings:
    """Return the rankings whose images can all be read."""
    return rankings.filter(inspection.is_usable) if inspection.unreadable else rankings


def unreadable_images(report: Path) -> Collection[str]:
    """Return the files that an inspection could not read. Args: report: INSPECTED in its run's folder."""
    unreadable: dict[str, str] = json.loads(report.read_text(encoding="utf-8"))["unreadable"]
    return unreadable.keys()

"""Looking whether stored files are what was stored, a part at a time; each app registers its kinds."""

from __future__ import annotations

import errno
import hashlib
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from time import monotonic

from botocore.exceptions import BotoCoreError
from django.conf import settings
from django.core.files.storage import default_storage

from annotation.models import Export, FileDigest, FileFault, FileRound, Image
from annotation.registry import FILES, KnownFile, register_files
from annotation.services.recovery.contents import IMAGES, VAR
from annotation.stored_files import file_names, open_stored, stored_digests

REST = timedelta(days=7)  # between the end of a round and the next one
BATCH = 100  # files and folders, after which the position is stored

OF_ANY_FILE = (errno.EMFILE, errno.ENFILE, errno.ENOMEM)
GONE, CHANGED = "is gone", "has changed since it was stored"


def known_images(position: str, limit: int) -> list[KnownFile]:
    rows = Image.objects.filter(pk__gt=position).order_by("pk").values_list("sha256", "file")[:limit]
    return [KnownFile(sha256, IMAGES + name, sha256=sha256) for sha256, name in rows]


def known_exports(position: str, limit: int) -> list[KnownFile]:
    finished = Export.objects.filter(state=Export.State.FINISHED, pk__gt=int(position or 0))
    rows = finished.select_related("project").order_by("pk")[:limit]
    return [KnownFile(str(row.pk), name_of(row.file), row.file, row.sha256) for row in rows]


def name_of(path: Path) -> str:
    """Return the name of a file below LAUREL_VAR."""
    return VAR + str(path.relative_to(settings.VAR))


register_files("images", known_images)
register_files("exports", known_exports)


def look_at_files(
    *, now: datetime, seconds: float, afresh: bool = False, elapsed: Callable[[], float] = monotonic
) -> int:
    """Read files of every kind for about so many seconds, from where the last call stopped.

    Faults are rows of FileFault afterwards. Once all files of a kind were read, faults that were not seen
    again are forgotten, and its next round begins after REST.

    Args: afresh: begin a round of every kind at once.
    Returns: files read. Raises: what the storage raises where it cannot be reached.
    """
    until, total = elapsed() + seconds, 0
    for kind in FILES:
        round_, _ = FileRound.objects.get_or_create(kind=kind, defaults={"begun_at": now})
        if afresh:
            round_.position = ""
        elif not round_.position and round_.finished_at and now - round_.finished_at < REST:
            continue
        total += _continue_round(round_, now=now, is_over=lambda: elapsed() > until)
        if elapsed() > until:
            break
    return total


def _continue_round(round_: FileRound, *, now: datetime, is_over: Callable[[], bool]) -> int:
    """Returns: files read."""
    if not round_.position:
        round_.begun_at, round_.looked_at = now, 0
    read = 0
    while known := FILES[round_.kind](round_.position, BATCH):
        for file in known:
            for each in _expanded(file):
                _record(round_.kind, each, now=now)
                read += 1
            round_.position = file.position
            if is_over():
                break
        if is_over():
            break
        round_.save()
    else:
        FileFault.objects.filter(kind=round_.kind, last_seen_at__lt=round_.begun_at).delete()
        round_.position, round_.finished_at = "", now
    round_.looked_at += read
    round_.save()
    return read


def _expanded(known: KnownFile) -> Iterator[KnownFile]:
    """Yield the file, or each file of a folder: those that are there, and those that once were."""
    if known.sha256 or known.path is None:
        yield known
        return
    there = {name_of(known.path / name): known.path / name for name in file_names(known.path)}
    recorded = dict(
        FileDigest.objects.filter(name__startswith=f"{known.name}/").values_list("name", "sha256")
    )
    recorded |= {VAR + name: sha256 for name, sha256 in stored_digests(known.path).items()}
    for name in sorted(there.keys() | recorded.keys()):
        path = there.get(name, Path(settings.VAR) / name.removeprefix(VAR))
        yield KnownFile(known.position, name, path, recorded.get(name, ""))


def _record(kind: str, file: KnownFile, *, now: datetime) -> None:
    fault, sha256 = _read(file)
    if not file.sha256 and not fault:
        FileDigest.objects.get_or_create(name=file.name, defaults={"sha256": sha256})
    if not fault:
        FileFault.objects.filter(name=file.name).delete()
        return
    seen = {"kind": kind, "fault": fault, "last_seen_at": now}
    FileFault.objects.update_or_create(
        name=file.name, defaults=seen, create_defaults=seen | {"sha256": file.sha256, "first_seen_at": now}
    )


def _read(file: KnownFile) -> tuple[str, str]:
    """Returns: what is wrong with the file, "" if nothing is, and its sha256.

    Raises: what the storage or this machine raises of any file now.
    """
    try:
        with open_stored(file.path) if file.path else default_storage.open(stored_name(file.name)) as content:
            sha256 = hashlib.file_digest(content, "sha256").hexdigest()
    except FileNotFoundError:
        return GONE, ""
    except OSError as error:
        if isinstance(error, BotoCoreError) or error.errno in OF_ANY_FILE:
            raise
        return f"cannot be read ({error.strerror or error})"[:200], ""
    return (CHANGED if sha256 != (file.sha256 or sha256) else ""), sha256


def stored_name(name: str) -> str:
    """Return the name that an image has in the storage."""
    return name.removeprefix(IMAGES)

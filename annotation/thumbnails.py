"""Small versions of images, for pages that show many: made when asked for, in a cache on this machine."""

from __future__ import annotations

import hashlib
import io
import logging
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, cast

import PIL.Image
import PIL.ImageCms
import PIL.ImageOps
from botocore.exceptions import BotoCoreError, ClientError
from django.conf import settings
from django.core.files import File

from annotation.models import Image
from annotation.saving import UNFINISHED, write_shared

SIDE = 320  # pixels of the longer side: twice the largest size that pages show, for dense screens
QUALITY = 80  # of WebP, 0 to 100
FOLDERS = 256  # that the cache is spread over, by the first two digits of the hash
WRITING = 60.0  # seconds after which such a file is one that a killed process left

logger = logging.getLogger(__name__)

# Of a process's threads so many may wait for a storage that hangs: the others are there for pages.
OPENED_AT_ONCE = 16
TURN_SECONDS = 2.0
_opening = threading.BoundedSemaphore(OPENED_AT_ONCE)
_decoding = threading.Lock()  # one picture at a time in a process: a large one takes 200 MB while decoded


class ImageLost(Exception):
    """The image's file is missing in the storage, damaged, or cannot be decoded; the message names it."""


class StorageSilent(Exception):
    """The storage does not answer, or this machine cannot open its file now; the message says how."""


def open_image(image: Image) -> BinaryIO:
    """Return the image's open file, all of which was read: browsers draw what there is of a damaged one.

    Raises: ImageLost when the storage lacks it, cannot give it, or has other bytes than were stored;
    StorageSilent, also when OPENED_AT_ONCE wait for it already.
    """
    file = _open(image)
    try:
        if file.size != image.bytes:
            has = f"has {file.size:,} bytes in the storage, not {image.bytes:,}"
            raise ImageLost(f"{image.file.name}: {has}")
        digest = hashlib.sha256()
        with _reading(image):
            for piece in file.chunks():
                digest.update(piece)
            file.seek(0)
        _check(image, digest.hexdigest())
    except BaseException:
        file.close()
        raise
    return cast(BinaryIO, file)


def _open(image: Image) -> File[bytes]:
    """Return the image's file as the storage has it. Raises: ImageLost; StorageSilent."""
    if not _opening.acquire(timeout=TURN_SECONDS):
        raise StorageSilent(f"{OPENED_AT_ONCE} files are waited for already")
    try:
        with _reading(image):
            return cast("File[bytes]", image.file.open().file)
    finally:
        _opening.release()


def _read(image: Image) -> bytes:
    """Return the image's bytes. Raises: ImageLost; StorageSilent."""
    with _open(image) as file, _reading(image):
        content: bytes = file.read()
    _check(image, hashlib.sha256(content).hexdigest())
    return content


def _check(image: Image, sha256: str) -> None:
    """Raises: ImageLost."""
    if sha256 != image.sha256:
        raise ImageLost(f"{image.file.name}: the storage has other bytes than were stored")


@contextmanager
def _reading(image: Image) -> Iterator[None]:
    """Tell what the storage raises of the file from the rest. Raises: ImageLost; StorageSilent."""
    try:
        yield
    except FileNotFoundError as error:
        raise ImageLost(f"{image.file.name}: is missing in the storage") from error
    except (IsADirectoryError, NotADirectoryError) as error:
        raise ImageLost(f"{image.file.name}: {error}") from error
    except (BotoCoreError, ClientError, OSError) as error:  # too many open files, say: not the file's fault
        raise StorageSilent(str(error)) from error


def is_small(image: Image) -> bool:
    """Return whether the image needs no smaller version."""
    return max(image.width, image.height) <= SIDE


def open_thumbnail(image: Image) -> BinaryIO:
    """Return the small version as an open WebP file, made now unless the cache has it.

    The cache keeps to THUMBNAIL_CACHE_BYTES: whenever a file is added, the oldest beside it may go.

    Raises: ImageLost; StorageSilent.
    """
    file = Path(settings.THUMBNAIL_CACHE_DIR) / image.sha256[:2] / f"{image.sha256}.webp"
    with suppress(OSError):
        return file.open("rb")
    content = _shrink(image)
    try:
        _store(content, file)
    except OSError as error:  # a full disk, say: it is made again next time
        logger.warning("A small version of an image was not stored: %s", error)
    return io.BytesIO(content)


def _store(content: bytes, file: Path) -> None:
    """Add a file to the cache. Raises: OSError."""
    with write_shared(file) as unfinished:  # others may be making the same
        unfinished.write(content)
    _trim(file.parent)


def _shrink(image: Image) -> bytes:
    """Return the picture as WebP, upright, in sRGB, its longer side SIDE pixels.

    Raises: ImageLost; StorageSilent.
    """
    content = _read(image)  # before this one's turn: a slow storage holds up no other
    try:
        with _decoding, PIL.Image.open(io.BytesIO(content)) as whole:
            whole.draft("RGB", (SIDE, SIDE))  # a JPEG is decoded no larger than needed
            small = _in_srgb(PIL.ImageOps.exif_transpose(whole))
            small.thumbnail((SIDE, SIDE))
    except (OSError, SyntaxError, ValueError) as error:  # what decoders raise on broken bytes
        raise ImageLost(f"{image.file.name}: {error}") from error
    file = io.BytesIO()
    small.save(file, "WEBP", quality=QUALITY)
    return file.getvalue()


def _in_srgb(image: PIL.Image.Image) -> PIL.Image.Image:
    """Return the picture in RGB, or RGBA where it is transparent, in sRGB as browsers show it."""
    mode = "RGBA" if image.has_transparency_data else "RGB"
    if image.mode.startswith("I"):  # 16 bits a pixel, which Pillow would clip
        image = image.point(lambda value: value / 256).convert("L")
    if mode == "RGBA" or image.mode == "P":
        image = image.convert(mode)
    if profile := image.info.get("icc_profile"):
        with suppress(PIL.ImageCms.PyCMSError, OSError):  # no usable profile: as if it had none
            source = PIL.ImageCms.ImageCmsProfile(io.BytesIO(profile))
            converted = PIL.ImageCms.profileToProfile(
                image, source, PIL.ImageCms.createProfile("sRGB"), outputMode=mode
            )
            if converted is not None:
                converted.info.pop("icc_profile", None)
                return converted
    return image.convert(mode)


def _trim(folder: Path) -> None:
    """Remove the folder's oldest files until they are within its part of the cache."""
    files = []
    abandoned = time.time() - WRITING
    for entry in os.scandir(folder):
        with suppress(FileNotFoundError):  # another process renamed or removed it
            status = entry.stat()
            if not entry.name.startswith(UNFINISHED):
                files.append((status.st_mtime_ns, status.st_size, entry.path))
            elif status.st_mtime < abandoned:
                Path(entry.path).unlink()
    excess = sum(size for _, size, _ in files) - settings.THUMBNAIL_CACHE_BYTES // FOLDERS
    for _, size, path in sorted(files):
        if excess <= 0:
            break
        Path(path).unlink(missing_ok=True)
        excess -= size

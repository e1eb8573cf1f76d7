"""Checking image files and keeping them once, without metadata, under the hash of the bytes that are kept."""

from __future__ import annotations

import hashlib
import io
import lzma
import struct
import zipfile
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import PIL.Image
from django.conf import settings
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage

from annotation.models import Image
from annotation.services.projects.metadata import BrokenImage, without_metadata

# What Pillow calls them -> what we do. MPO is what many cameras write: a JPEG with more pictures behind it.
FORMATS = {"PNG": "png", "JPEG": "jpeg", "MPO": "jpeg", "WEBP": "webp"}

LYING = 5  # EXIF's orientations from here on are turned by a quarter


class ImageRefused(Exception):
    """FILE: why."""


@dataclass(frozen=True)
class PackedImage:
    """An image inside a .zip that stays open as long as it is asked for."""

    pack: zipfile.ZipFile
    member: zipfile.ZipInfo

    def __str__(self) -> str:
        return f"{self.pack.filename}: {self.member.filename}"


ImageSource = Path | PackedImage | bytes


@dataclass(frozen=True)
class CheckedImage:
    """A picture that decodes, and is not too large. `source` is where its file is, or the file's bytes.

    Hash and size are of what will be kept: the file without its metadata. So two files that differ in
    metadata alone are one picture; the same pixels compressed in two ways are two.
    """

    sha256: str
    format: str
    width: int  # pixels, as shown: turned as EXIF says
    height: int
    size: int  # bytes
    source: ImageSource

    @property
    def stored_name(self) -> str:
        """ab/ab12...ef.webp: the hash spreads files over 256 folders, the format gives the suffix."""
        return f"{self.sha256[:2]}/{self.sha256}.{self.format}"


def check_image(source: ImageSource) -> CheckedImage:
    """Decode the whole image; its size in bytes and pixels is checked before that.

    Raises: ImageRefused naming the file: missing, no PNG, JPEG or WebP, animated, too large, broken.
    """
    name = _name(source)
    content = _read(source)
    try:
        with PIL.Image.open(io.BytesIO(content), formats=["PNG", "JPEG", "WEBP"]) as image:
            width, height = image.size
            if width * height > settings.IMAGE_MAX_PIXELS:
                raise ImageRefused(
                    f"{name}: {width} x {height} pixels are more than {settings.IMAGE_MAX_PIXELS:,}"
                )
            if image.format != "MPO" and getattr(image, "n_frames", 1) > 1:
                raise ImageRefused(f"{name}: is animated")
            image.load()
            kind = FORMATS[str(image.format)]
        kept, orientation = without_metadata(content, kind)
        if orientation >= LYING:
            width, height = height, width
    except PIL.UnidentifiedImageError:
        raise ImageRefused(f"{name}: is no PNG, JPEG or WebP image") from None
    except PIL.Image.DecompressionBombError:
        raise ImageRefused(f"{name}: has more than {settings.IMAGE_MAX_PIXELS:,} pixels") from None
    except (OSError, SyntaxError, ValueError, struct.error) as error:  # what decoders raise on broken bytes
        raise ImageRefused(f"{name}: is broken ({error})") from None
    return CheckedImage(hashlib.sha256(kept).hexdigest(), kind, width, height, len(kept), source)


def store_images(checked: Iterable[CheckedImage]) -> dict[str, Image]:
    """Keep the files, each once, then their rows: a file without its row is harmless, never the reverse.

    Returns: sha256 -> image.
    Raises: ImageRefused when a file changed since it was checked.
    """
    wanted = {image.sha256: image for image in checked}
    known = Image.objects.in_bulk(wanted)
    for sha256, image in wanted.items():
        if sha256 not in known:
            _write(image)
    Image.objects.bulk_create(
        (
            Image(
                sha256=image.sha256,
                file=image.stored_name,
                format=image.format,
                width=image.width,
                height=image.height,
                bytes=image.size,
            )
            for sha256, image in wanted.items()
            if sha256 not in known
        ),
        ignore_conflicts=True,  # stored meanwhile by another import
    )
    return Image.objects.in_bulk(wanted)


def _name(source: ImageSource) -> str:
    return "image" if isinstance(source, bytes) else str(source)


def _read(source: ImageSource) -> bytes:
    """Raises: ImageRefused: missing, empty, too large, unreadable."""
    name = _name(source)
    try:
        size = _size(source)  # of a packed one what the .zip claims: no more than this is ever read of it
        if not size:
            raise ImageRefused(f"{name}: is empty")
        if size > settings.IMAGE_MAX_BYTES:
            raise ImageRefused(f"{name}: {size:,} bytes are more than {settings.IMAGE_MAX_BYTES:,}")
        if isinstance(source, PackedImage):
            return source.pack.read(source.member)
        return source.read_bytes() if isinstance(source, Path) else source
    except FileNotFoundError:
        raise ImageRefused(f"{name}: is missing") from None
    except BROKEN as error:
        raise ImageRefused(f"{name}: cannot be read ({getattr(error, 'strerror', None) or error})") from None


def _size(source: ImageSource) -> int:
    """Bytes. Raises: OSError."""
    if isinstance(source, PackedImage):
        return source.member.file_size
    return source.stat().st_size if isinstance(source, Path) else len(source)


def _write(image: CheckedImage) -> None:
    try:
        content, _ = without_metadata(_read(image.source), image.format)
    except BrokenImage:
        content = b""
    if hashlib.sha256(content).hexdigest() != image.sha256:
        raise ImageRefused(f"{_name(image.source)}: changed while it was imported")
    name = image.stored_name
    if default_storage.exists(name):
        if default_storage.size(name) == image.size:
            return
        default_storage.delete(name)  # a process died while it wrote
    kept = default_storage.save(name, ContentFile(content))
    if kept != name:  # somebody wrote the same bytes at the same time
        default_storage.delete(kept)


# What reading one raises that is cut off, locked, damaged, or packed in a way that nobody here knows.
BROKEN = (
    *(zipfile.BadZipFile, zlib.error, lzma.LZMAError),
    *(NotImplementedError, RuntimeError, EOFError, OSError, ValueError),
)

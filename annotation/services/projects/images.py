"""Checking image files, and storing each once, without metadata, under the hash of the stored bytes."""

from __future__ import annotations

import hashlib
import io
import lzma
import re
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

from annotation.local_images import local_root
from annotation.models import Image
from annotation.saving import write_shared
from annotation.services.projects.metadata import BrokenImage, without_metadata

SIGNATURES = {
    "png": re.compile(rb"\x89PNG\r\n\x1a\n"),
    "jpeg": re.compile(rb"\xff\xd8\xff"),
    "webp": re.compile(rb"RIFF....WEBP", re.DOTALL),
}
SIDEWAYS = 5  # EXIF's orientations from here on swap width and height
# Of a picture's sides: reward models fit the short one to their input, and the other grows with it.
MAX_ASPECT_RATIO = 100


class ImageRefused(Exception):
    """The file cannot be added as an image: "FILE: why"."""


@dataclass(frozen=True)
class PackedImage:
    """An image inside a .zip; the .zip must stay open until the image is read."""

    pack: zipfile.ZipFile
    member: zipfile.ZipInfo

    def __str__(self) -> str:
        return f"{self.pack.filename}: {self.member.filename}"


ImageSource = Path | PackedImage | bytes


@dataclass(frozen=True)
class CheckedImage:
    """A decodable image within the size limits. `source` is its file, or the file's bytes.

    Hash and size are of what will be stored: the file without its metadata. So files that differ only in
    metadata are one picture; the same pixels compressed in two ways are two.
    """

    sha256: str
    format: str
    width: int  # pixels, as shown: turned as EXIF says
    height: int
    size: int  # bytes
    source: ImageSource

    @property
    def stored_name(self) -> str:
        """ab/ab12...ef.webp: files are spread over 256 folders, and the suffix is the format."""
        return f"{self.sha256[:2]}/{self.sha256}.{self.format}"


def check_image(source: ImageSource) -> CheckedImage:
    """Decode the whole image, but for its metadata, after checking its size in bytes and pixels.

    Raises: ImageRefused naming the file: missing, no PNG, JPEG or WebP, animated, too large, too long and
        narrow, broken.
    """
    name = _name(source)
    content = _read_source(source)
    kind = next((kind for kind, signature in SIGNATURES.items() if signature.match(content)), None)
    if kind is None:
        raise ImageRefused(f"{name}: is no PNG, JPEG or WebP image")
    try:
        # Pillow decodes a PNG's texts, and refuses the file over what is wrong with them.
        decoded = without_metadata(content, kind)[0] if kind == "png" else content
        with PIL.Image.open(io.BytesIO(decoded), formats=[kind.upper()]) as image:
            width, height = image.size
            _check_size(name, width, height)
            image.load()
        stripped, orientation = without_metadata(content, kind)
        if orientation >= SIDEWAYS:
            width, height = height, width
    except PIL.UnidentifiedImageError:
        raise ImageRefused(f"{name}: is broken (its header cannot be read)") from None
    except PIL.Image.DecompressionBombError:
        raise ImageRefused(f"{name}: has more than {settings.IMAGE_MAX_PIXELS:,} pixels") from None
    except (OSError, SyntaxError, ValueError, struct.error) as error:  # what decoders raise on broken bytes
        raise ImageRefused(f"{name}: is broken ({error})") from None
    return CheckedImage(hashlib.sha256(stripped).hexdigest(), kind, width, height, len(stripped), source)


def _check_size(name: str, width: int, height: int) -> None:
    """Raises: ImageRefused for more pixels than the limit, and for what no reward model can take."""
    if width * height > settings.IMAGE_MAX_PIXELS:
        raise ImageRefused(f"{name}: {width} x {height} pixels are more than {settings.IMAGE_MAX_PIXELS:,}")
    if max(width, height) > MAX_ASPECT_RATIO * min(width, height):
        raise ImageRefused(
            f"{name}: {width} x {height} pixels are too long and narrow: "
            f"one side may be {MAX_ASPECT_RATIO} times the other"
        )


def store_images(checked: Iterable[CheckedImage]) -> dict[str, Image]:
    """Store each file once, and then the rows: a file without a row is harmless.

    Returns: sha256 -> image.
    Raises: ImageRefused when a file changed since it was checked.
    """
    by_hash = {image.sha256: image for image in checked}
    existing = Image.objects.in_bulk(by_hash)
    for sha256, image in by_hash.items():
        if sha256 not in existing:
            _store_file(image)
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
            for sha256, image in by_hash.items()
            if sha256 not in existing
        ),
        ignore_conflicts=True,  # stored meanwhile by another import
    )
    return Image.objects.in_bulk(by_hash)


def _name(source: ImageSource) -> str:
    return "image" if isinstance(source, bytes) else str(source)


def _read_source(source: ImageSource) -> bytes:
    """Raises: ImageRefused when it is missing, empty, too large or unreadable."""
    name = _name(source)
    try:
        size = _size(source)  # for a packed image the declared size; no more than that is read
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


def _store_file(image: CheckedImage) -> None:
    """Raises: ImageRefused when the file changed since it was checked."""
    try:
        content, _ = without_metadata(_read_source(image.source), image.format)
    except BrokenImage:
        content = b""
    if hashlib.sha256(content).hexdigest() != image.sha256:
        raise ImageRefused(f"{_name(image.source)}: changed while it was imported")
    name = image.stored_name
    is_there = default_storage.exists(name)
    if is_there and default_storage.size(name) == image.size:
        return
    if local_root() is not None:
        with write_shared(Path(default_storage.path(name))) as file:  # others may be storing the same
            file.write(content)
        return
    if is_there:
        default_storage.delete(name)  # it was damaged: objects appear whole
    stored_name = default_storage.save(name, ContentFile(content))
    if stored_name != name:  # another process stored the same bytes at the same time
        default_storage.delete(stored_name)


# What reading an archive raises that is cut off, encrypted, damaged, or compressed in an unknown way.
BROKEN = (
    *(zipfile.BadZipFile, zlib.error, lzma.LZMAError),
    *(NotImplementedError, RuntimeError, EOFError, OSError, ValueError),
)

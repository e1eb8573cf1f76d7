"""Removing metadata from image files: text, EXIF, XMP, previews, and whatever follows the picture.

Metadata names generators, prompts and people. What is removed is not decoded, nor is its checksum looked at;
so is a PNG's colour profile that is damaged, or unpacks to more than readers accept. Nothing is re-encoded:
the compressed pixels stay byte for byte, and with them what is needed to show them: transparency, the colour
profile, and the EXIF orientation in an EXIF block of its own. The exception is a WebP with an orientation,
which browsers ignore: it is turned and compressed without loss.

Source: PNG, W3C third edition; JPEG, ITU T.81 annex B, and JFIF 1.02; WebP, RFC 9649.
"""

from __future__ import annotations

import io
import re
import struct
import zlib
from collections.abc import Iterator

import PIL.Image
import PIL.ImageOps
import PIL.PngImagePlugin

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
PNG_PIXELS = {b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND"}
PNG_COLOURS = {b"cHRM", b"gAMA", b"iCCP", b"sRGB", b"cICP", b"mDCV", b"cLLI"}

MOST_PROFILE_BYTES = PIL.PngImagePlugin.MAX_TEXT_CHUNK - 1  # Pillow opens no file with a larger one

END, SCAN, APP0, APP1, APP2, APP14, APP15, COMMENT = 0xD9, 0xDA, 0xE0, 0xE1, 0xE2, 0xEE, 0xEF, 0xFE
JFIF = b"JFIF\0\x01\x01\0\0\x01\0\x01\0\0"  # version 1.1, square pixels, no preview
ADOBE_BYTES = 12  # of Adobe's segment; it says whether colours are RGB, YCbCr or CMYK
# 0xFF before 00 is a byte of the pixels, before 01 and D0 to D7 a marker without a body, before FF padding.
NEXT_SEGMENT = re.compile(rb"\xff([^\x00\x01\xd0-\xd7\xff])")

WEBP_PIXELS = {b"ICCP", b"ALPH", b"VP8 ", b"VP8L"}
WEBP_PROFILE, WEBP_ALPHA, WEBP_ANIMATED = 0x20, 0x10, 0x02

ORIENTATION = 0x0112
UPRIGHT = 1


class BrokenImage(ValueError):
    """The file does not follow its format."""


def without_metadata(content: bytes, format: str) -> tuple[bytes, int]:
    """Return the file with pixels, colours and orientation alone.

    Args: content: a whole, still picture; format: png, jpeg or webp.
    Returns: the file, and its EXIF orientation: 1 is upright, 2 to 8 are mirrored or turned when shown.
    Raises: BrokenImage.
    """
    try:
        return {"png": _png, "jpeg": _jpeg, "webp": _webp}[format](content)
    except struct.error:
        raise BrokenImage("ends too early") from None


def _png(content: bytes) -> tuple[bytes, int]:
    parts, orientation = [], UPRIGHT
    for kind, body, is_intact in _png_chunks(content):
        if kind == b"iCCP":
            if is_intact and _is_png_profile(body):
                parts.append(_png_chunk(kind, b"icc\0" + body.partition(b"\0")[2]))  # its name is arbitrary
        elif kind in PNG_PIXELS | PNG_COLOURS:
            if not is_intact:
                raise BrokenImage(f"wrong checksum of {kind.decode()}")
            parts.append(_png_chunk(kind, body))
        elif kind == b"eXIf" and is_intact:
            orientation = _orientation(body)
        elif kind == b"acTL" and int.from_bytes(body[:4]) > 1:
            raise BrokenImage("is animated")
    if orientation != UPRIGHT:
        parts.insert(1, _png_chunk(b"eXIf", _exif(orientation)))  # before the pixels: some readers stop there
    return PNG_SIGNATURE + b"".join(parts), orientation


def _png_chunks(content: bytes) -> Iterator[tuple[bytes, bytes, bool]]:
    """Yield kind and body of each chunk up to the end of the picture, and whether its checksum is right."""
    at, kind = len(PNG_SIGNATURE), b""
    while kind != b"IEND":
        length, kind = struct.unpack_from(">I4s", content, at)
        (checksum,) = struct.unpack_from(">I", content, at + 8 + length)
        body = content[at + 8 : at + 8 + length]
        yield kind, body, zlib.crc32(kind + body) == checksum
        at += 12 + length  # length, kind, body, checksum


def _is_png_profile(body: bytes) -> bool:
    """Whether an iCCP chunk has a whole profile within the limit of readers: name, 0, method, zlib stream."""
    packed = body.partition(b"\0")[2][1:]
    stream = zlib.decompressobj()
    try:
        stream.decompress(packed, MOST_PROFILE_BYTES)
    except zlib.error:
        return False
    return stream.eof


def _png_chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def _jpeg(content: bytes) -> tuple[bytes, int]:
    parts, jfif, orientation = [], b"", UPRIGHT
    for marker, body, scan in _jpeg_segments(content):
        if marker == APP0 and body.startswith(b"JFIF\0"):
            jfif = _jpeg_segment(APP0, JFIF)
        elif marker == APP1 and body.startswith(b"Exif\0\0"):
            orientation = _orientation(body)
        elif marker == APP2 and body.startswith(b"ICC_PROFILE\0"):
            parts.append(_jpeg_segment(marker, body))
        elif marker == APP14 and body.startswith(b"Adobe"):
            parts.append(_jpeg_segment(marker, body[:ADOBE_BYTES]))
        elif not APP0 <= marker <= APP15 and marker != COMMENT:
            parts.append(_jpeg_segment(marker, body) + scan)
    exif = b"" if orientation == UPRIGHT else _jpeg_segment(APP1, b"Exif\0\0" + _exif(orientation))
    return b"\xff\xd8" + jfif + exif + b"".join(parts) + b"\xff\xd9", orientation


def _jpeg_segments(content: bytes) -> Iterator[tuple[int, bytes, bytes]]:
    """Yield marker and body of each segment of the first picture, and the pixels that follow a SCAN.

    Other pictures may come behind it: previews, the depth of a photograph.
    """
    segment = NEXT_SEGMENT.search(content, 2)
    while segment and (marker := segment[1][0]) != END:
        (length,) = struct.unpack_from(">H", content, segment.end())
        start = segment.end() + length
        body = content[segment.end() + 2 : start]
        segment = NEXT_SEGMENT.search(content, start)
        pixels = content[start : segment.start() if segment else None] if marker == SCAN else b""
        yield marker, body, pixels


def _jpeg_segment(marker: int, body: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(body) + 2) + body


def _webp(content: bytes) -> tuple[bytes, int]:
    parts, orientation, extended = [], UPRIGHT, b""
    for kind, body in _webp_chunks(content):
        if kind == b"VP8X":
            extended = body
        elif kind in WEBP_PIXELS:
            parts.append(_webp_chunk(kind, body))
        elif kind == b"EXIF":
            orientation = _orientation(body)
    if extended:
        if extended[0] & WEBP_ANIMATED:
            raise BrokenImage("is animated")
        flags = extended[0] & (WEBP_PROFILE | WEBP_ALPHA)
        parts.insert(0, _webp_chunk(b"VP8X", bytes((flags, 0, 0, 0)) + extended[4:10]))
    if orientation != UPRIGHT:
        return _webp_turned(content), orientation
    chunks = b"WEBP" + b"".join(parts)
    return b"RIFF" + struct.pack("<I", len(chunks)) + chunks, orientation


def _webp_turned(content: bytes) -> bytes:
    file = io.BytesIO()
    with PIL.Image.open(io.BytesIO(content)) as image:
        PIL.ImageOps.exif_transpose(image).save(file, "WEBP", lossless=True, exact=True)
    return file.getvalue()


def _webp_chunks(content: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield kind and body of each chunk, up to the end that the header gives."""
    at, end = 12, 8 + struct.unpack_from("<I", content, 4)[0]
    while at + 8 <= min(end, len(content)):
        kind, length = struct.unpack_from("<4sI", content, at)
        yield kind, content[at + 8 : at + 8 + length]
        at += 8 + length + length % 2


def _webp_chunk(kind: bytes, body: bytes) -> bytes:
    return kind + struct.pack("<I", len(body)) + body + bytes(len(body) % 2)


def _orientation(exif: bytes) -> int:
    """Return EXIF's orientation; 1 where there is none, or it is broken."""
    fields = PIL.Image.Exif()
    try:
        fields.load(exif)
        orientation = fields.get(ORIENTATION)
    except (SyntaxError, ValueError, TypeError, KeyError, IndexError, OSError, struct.error):
        return UPRIGHT
    return orientation if isinstance(orientation, int) and 2 <= orientation <= 8 else UPRIGHT


def _exif(orientation: int) -> bytes:
    """Return EXIF of one little-endian directory with one entry: the orientation, one SHORT."""
    return b"II*\0" + struct.pack("<IHHHIHHI", 8, 1, ORIENTATION, 3, 1, orientation, 0, 0)

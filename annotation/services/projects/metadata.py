"""Image files without what their pixels do not need: text, EXIF, XMP, previews, whatever follows the picture.

Such parts name generators, prompts and people. Nothing is decoded or encoded anew: the compressed pixels stay
byte for byte, and with them what says how to show them: transparency, the colour profile, and the EXIF
orientation in an EXIF block that holds nothing else. A WebP that is to be turned is turned, because browsers
do not do it: the same pixels, compressed without loss.

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

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
PNG_PIXELS = {b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND"}
PNG_COLOURS = {b"cHRM", b"gAMA", b"iCCP", b"sRGB", b"cICP", b"mDCV", b"cLLI"}

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
    """The file is not built as its format says."""


def without_metadata(content: bytes, format: str) -> tuple[bytes, int]:
    """The file with pixels, colours and orientation alone.

    Args: content: a whole, still picture; format: png, jpeg or webp.
    Returns: the file, and its EXIF orientation: 1 is upright, 2 to 8 are mirrored or turned when shown.
    Raises: BrokenImage.
    """
    try:
        return {"png": _png, "jpeg": _jpeg, "webp": _webp}[format](content)
    except struct.error:
        raise BrokenImage("ends too early") from None


def _png(content: bytes) -> tuple[bytes, int]:
    kept, turned = [], UPRIGHT
    for kind, body in _png_chunks(content):
        if kind == b"iCCP":
            kept.append(_png_chunk(kind, b"icc\0" + body.partition(b"\0")[2]))  # named at will
        elif kind in PNG_PIXELS | PNG_COLOURS:
            kept.append(_png_chunk(kind, body))
        elif kind == b"eXIf":
            turned = _orientation(body)
    if turned != UPRIGHT:
        kept.insert(1, _png_chunk(b"eXIf", _exif(turned)))  # behind IHDR: some readers stop at the pixels
    return PNG_SIGNATURE + b"".join(kept), turned


def _png_chunks(content: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Kind and body of each chunk up to the end of the picture."""
    at, kind = len(PNG_SIGNATURE), b""
    while kind != b"IEND":
        length, kind = struct.unpack_from(">I4s", content, at)
        yield kind, content[at + 8 : at + 8 + length]
        at += 12 + length  # length, kind, body, checksum


def _png_chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def _jpeg(content: bytes) -> tuple[bytes, int]:
    kept, jfif, turned = [], b"", UPRIGHT
    for marker, body, scan in _jpeg_segments(content):
        if marker == APP0 and body.startswith(b"JFIF\0"):
            jfif = _jpeg_segment(APP0, JFIF)
        elif marker == APP1 and body.startswith(b"Exif\0\0"):
            turned = _orientation(body)
        elif marker == APP2 and body.startswith(b"ICC_PROFILE\0"):
            kept.append(_jpeg_segment(marker, body))
        elif marker == APP14 and body.startswith(b"Adobe"):
            kept.append(_jpeg_segment(marker, body[:ADOBE_BYTES]))
        elif not APP0 <= marker <= APP15 and marker != COMMENT:
            kept.append(_jpeg_segment(marker, body) + scan)
    exif = b"" if turned == UPRIGHT else _jpeg_segment(APP1, b"Exif\0\0" + _exif(turned))
    return b"\xff\xd8" + jfif + exif + b"".join(kept) + b"\xff\xd9", turned


def _jpeg_segments(content: bytes) -> Iterator[tuple[int, bytes, bytes]]:
    """Marker and body of each segment of the first picture; after a SCAN, the pixels up to the next segment.

    Other pictures may come behind it: previews, the depth of a photograph.
    """
    found = NEXT_SEGMENT.search(content, 2)
    while found and (marker := found[1][0]) != END:
        (length,) = struct.unpack_from(">H", content, found.end())
        start = found.end() + length
        body = content[found.end() + 2 : start]
        found = NEXT_SEGMENT.search(content, start)
        pixels = content[start : found.start() if found else None] if marker == SCAN else b""
        yield marker, body, pixels


def _jpeg_segment(marker: int, body: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(body) + 2) + body


def _webp(content: bytes) -> tuple[bytes, int]:
    kept, turned, extended = [], UPRIGHT, b""
    for kind, body in _webp_chunks(content):
        if kind == b"VP8X":
            extended = body
        elif kind in WEBP_PIXELS:
            kept.append(_webp_chunk(kind, body))
        elif kind == b"EXIF":
            turned = _orientation(body)
    if extended:
        if extended[0] & WEBP_ANIMATED:
            raise BrokenImage("is animated")
        flags = extended[0] & (WEBP_PROFILE | WEBP_ALPHA)
        kept.insert(0, _webp_chunk(b"VP8X", bytes((flags, 0, 0, 0)) + extended[4:10]))
    if turned != UPRIGHT:
        return _webp_turned(content), turned
    chunks = b"WEBP" + b"".join(kept)
    return b"RIFF" + struct.pack("<I", len(chunks)) + chunks, turned


def _webp_turned(content: bytes) -> bytes:
    file = io.BytesIO()
    with PIL.Image.open(io.BytesIO(content)) as image:
        PIL.ImageOps.exif_transpose(image).save(file, "WEBP", lossless=True, exact=True)
    return file.getvalue()


def _webp_chunks(content: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Kind and body of each chunk; what lies behind the end that the file names is none of it."""
    at, end = 12, 8 + struct.unpack_from("<I", content, 4)[0]
    while at + 8 <= min(end, len(content)):
        kind, length = struct.unpack_from("<4sI", content, at)
        yield kind, content[at + 8 : at + 8 + length]
        at += 8 + length + length % 2


def _webp_chunk(kind: bytes, body: bytes) -> bytes:
    return kind + struct.pack("<I", len(body)) + body + bytes(len(body) % 2)


def _orientation(exif: bytes) -> int:
    """1 where EXIF says nothing of it, or is broken."""
    fields = PIL.Image.Exif()
    try:
        fields.load(exif)
        turned = fields.get(ORIENTATION)
    except (SyntaxError, ValueError, TypeError, KeyError, IndexError, OSError, struct.error):
        return UPRIGHT
    return turned if isinstance(turned, int) and 2 <= turned <= 8 else UPRIGHT


def _exif(orientation: int) -> bytes:
    """One little-endian directory with one entry: orientation, of type SHORT, once."""
    return b"II*\0" + struct.pack("<IHHHIHHI", 8, 1, ORIENTATION, 3, 1, orientation, 0, 0)

"""A score written into a PNG's text, where the published WebUI script puts it; no pixel is touched.

Source: PNG specification, 5.3 and 11.3.4; ImageReward's script for the Stable Diffusion WebUI.
"""

from __future__ import annotations

import re
import shutil
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

from rewardmodel.learning.saving import write_whole

SIGNATURE = b"\x89PNG\r\n\x1a\n"
KEYWORD = b"parameters"  # the WebUI's
WRITTEN = re.compile(r"\n? ?ImageReward Score: \S+")


class PngInfoError(ValueError):
    """A file is no whole PNG, or cannot be replaced; the message names it."""


def write_score(file: Path, score: float) -> None:
    """Add `ImageReward Score: x` to the PNG's parameters; one written earlier is replaced.

    All other chunks stay byte for byte.

    Raises: PngInfoError.
    """
    try:
        with write_whole(file) as written:
            written.write_bytes(with_score(file.read_bytes(), score))
            shutil.copymode(file, written)
    except (OSError, ValueError, struct.error, zlib.error) as error:
        raise PngInfoError(f"{file}: no score can be written into it ({error})") from error


def with_score(png: bytes, score: float) -> bytes:
    """Return the PNG with the score in its parameters. Raises: ValueError, struct.error or zlib.error."""
    chunks, parameters = [], ""
    for kind, content in _chunks(png):
        text = _parameters(kind, content)
        if text is None:
            chunks.append(_chunk(kind, content))
        else:
            parameters = text
    existing = WRITTEN.sub("", parameters)
    line = f"ImageReward Score: {score:.4f}"
    chunks.insert(1, _text_chunk(f"{existing}\n {line}" if existing else line))  # after the header
    return SIGNATURE + b"".join(chunks)


def _chunks(png: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield kind and content of each chunk up to IEND."""
    if not png.startswith(SIGNATURE):
        raise ValueError("not a PNG")
    offset, kind = len(SIGNATURE), b""
    while kind != b"IEND":
        length, kind = struct.unpack_from(">I4s", png, offset)
        content = png[offset + 8 : offset + 8 + length]
        if len(content) < length:
            raise ValueError("cut off")
        yield kind, content
        offset += 12 + length


def _chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def _parameters(kind: bytes, content: bytes) -> str | None:
    """Return the text of a chunk that holds the parameters, or None."""
    keyword, _, rest = content.partition(b"\0")
    if keyword != KEYWORD:
        return None
    if kind == b"tEXt":
        return rest.decode("latin-1")
    if kind == b"zTXt":
        return zlib.decompress(rest[1:]).decode("latin-1")
    if kind == b"iTXt":
        text = rest[2:].split(b"\0", 2)[2]  # after the language and the translated keyword
        return (zlib.decompress(text) if rest[0] else text).decode("utf-8")
    return None


def _text_chunk(text: str) -> bytes:
    try:
        return _chunk(b"tEXt", KEYWORD + b"\0" + text.encode("latin-1"))
    except UnicodeEncodeError:
        return _chunk(b"iTXt", KEYWORD + b"\0\0\0\0\0" + text.encode("utf-8"))

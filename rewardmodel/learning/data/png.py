"""PNG files without the parts that a model never sees, on which a decoder may stumble."""

from __future__ import annotations

import struct
import zlib

SIGNATURE = b"\x89PNG\r\n\x1a\n"
# Texts, and the colour profile, which models are not shown either: Pillow refuses a whole file over one that
# unpacks to more than 1 MB, or whose checksum is wrong.
UNSEEN = {b"tEXt", b"zTXt", b"iTXt", b"iCCP", b"tIME", b"pHYs"}


def without_unseen(content: bytes) -> bytes:
    """Return the PNG file without texts and profile, nor EXIF with a wrong checksum; other files as they are.

    What is not a whole chunk is left to the decoder.
    Source: PNG, W3C third edition, 5.3: length, kind, body, checksum.
    """
    if not content.startswith(SIGNATURE):
        return content
    parts, at = [SIGNATURE], len(SIGNATURE)
    while at + 12 <= len(content):
        length, kind = struct.unpack_from(">I4s", content, at)
        end = at + 12 + length
        is_damaged = kind == b"eXIf" and zlib.crc32(content[at + 4 : end - 4]) != int.from_bytes(
            content[end - 4 : end]
        )
        if kind not in UNSEEN and not is_damaged:
            parts.append(content[at:end])
        at = end
    return b"".join((*parts, content[at:]))

"""Reading text files a line at a time: in UTF-8 or UTF-16, with any line ends, in bounded memory."""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from annotation.services.imports.rows import LONGEST_ROW, ImportRefused, unreadable

CHUNK = 64 * 1024  # bytes read at a time
MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),  # what spreadsheets save as "Unicode text"
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
# A CR alone ends lines too, but the last one of a part may be half of a CR LF.
LINE_END = re.compile(r"\r\n|\n|\r(?=[^\n])")


def read_lines(file: Path) -> Iterator[tuple[int, str]]:
    """Yield the lines of a text file that are not blank, stripped, with their numbers.

    Lines end with LF, CR LF, or CR alone. Raises ImportRefused.
    """
    for number, line in enumerate(read_raw_lines(file), 1):
        if text := line.strip():
            yield number, text


def read_raw_lines(file: Path) -> Iterator[str]:
    """Yield all lines with their ends. Raises ImportRefused for one that is too long or cannot be decoded."""
    number, rest = 1, ""
    parts = decoded_parts(file)
    while True:
        try:
            part = next(parts, "")
        except UnicodeDecodeError as error:
            raise not_decodable(file, number, error) from None
        rest, start = rest + part, 0
        for end in LINE_END.finditer(rest):
            yield rest[start : end.end()]
            number, start = number + 1, end.end()
        rest = rest[start:]
        if len(rest) > LONGEST_ROW:
            raise too_long(file, number)
        if not part:
            break
    if rest:
        yield rest


def decoded_parts(file: Path) -> Iterator[str]:
    """Yield the text of the file in parts, none of them empty, without a byte order mark.

    What is in front of bytes that cannot be decoded is yielded before the error.

    Raises: UnicodeDecodeError; ImportRefused when the file cannot be read.
    """
    try:
        with file.open("rb") as stream:
            decoder = codecs.getincrementaldecoder(_encoding(file, stream))()
            while True:
                chunk = stream.read(CHUNK)
                try:
                    if text := decoder.decode(chunk, final=not chunk):
                        yield text
                except UnicodeDecodeError as error:
                    if text := error.object[: error.start].decode(error.encoding):
                        yield text
                    raise
                if not chunk:
                    return
    except OSError as error:
        raise unreadable(file, error) from None


def not_decodable(file: Path, row: int, error: UnicodeDecodeError) -> ImportRefused:
    name = error.encoding.upper().removesuffix("-LE").removesuffix("-BE")
    return ImportRefused(f"{file}, row {row}: is no {name}: save it as UTF-8")


def too_long(file: Path, row: int, longest: int = LONGEST_ROW) -> ImportRefused:
    return ImportRefused(f"{file}, row {row}: is longer than {longest:,} letters")


def _encoding(file: Path, stream: IO[bytes]) -> str:
    """Return the encoding that the file's first bytes tell, and skip its mark.

    Raises: ImportRefused for UTF-16 without a mark, in which every other byte of western text is 0.
    """
    head = stream.read(CHUNK)
    mark, encoding = next((known for known in MARKS if head.startswith(known[0])), (b"", "utf-8"))
    if not mark and head.count(0) > max(2, len(head) // 4):
        raise ImportRefused(f"{file}: is UTF-16 without a byte order mark, or no text: save it as UTF-8")
    stream.seek(len(mark))
    return encoding

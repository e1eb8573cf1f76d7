"""HTTP responses with a large file, a range of its bytes, or a CSV table."""

from __future__ import annotations

import csv
import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO

from django.http import FileResponse, HttpRequest, HttpResponse, HttpResponseBase, StreamingHttpResponse

from annotation.stored_files import open_file

CHUNK = 1 << 18
ONE_RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})")


def file_response(request: HttpRequest, *, file: Path, sha256: str) -> HttpResponseBase:
    """Return the file as a download: 206 with the bytes of `Range`, 416 for a range outside the file.

    Several ranges at once, and a range of a file that has changed (`If-Range`), get the whole file.

    Raises: FileNotFoundError.

    Source: RFC 9110, sections 13.1.5 and 14.
    """
    content = open_file(file)
    size, etag = content.seek(0, os.SEEK_END), f'"{sha256}"'
    content.seek(0)
    ends = ONE_RANGE.fullmatch(request.headers.get("Range", "").replace(" ", ""))
    is_same = request.headers.get("If-Range", etag) == etag
    response: HttpResponseBase
    if ends is None or not is_same or ends.groups() == ("", "") or request.method != "GET":
        response = FileResponse(content)
        response.headers["Content-Length"] = str(size)
    elif (span := _byte_range(ends[1], ends[2], size)) is None:
        content.close()
        response = HttpResponse(status=416, headers={"Content-Range": f"bytes */{size}"})
    else:
        start, end = span
        response = StreamingHttpResponse(_read_range(content, start, end), status=206)
        response.headers["Content-Range"] = f"bytes {start}-{end - 1}/{size}"
        response.headers["Content-Length"] = str(end - start)
    headers = {
        "Accept-Ranges": "bytes",
        "ETag": etag,
        "Cache-Control": "private, no-store",
        "Content-Type": "application/zip",
        "Content-Disposition": f'attachment; filename="{file.name}"',
        "X-Content-Type-Options": "nosniff",
    }
    for name, value in headers.items():
        response.headers[name] = value
    return response


def _byte_range(first: str, last: str, size: int) -> tuple[int, int] | None:
    """Return the range as [start, end); None when it is empty."""
    if not first:  # bytes=-N: the last N
        start, end = max(0, size - int(last)), size
    else:
        start, end = int(first), min(size, int(last) + 1) if last else size
    return (start, end) if start < end else None


def _read_range(content: IO[bytes], start: int, end: int) -> Iterator[bytes]:
    with content:
        content.seek(start)
        while start < end and (piece := content.read(min(CHUNK, end - start))):
            start += len(piece)
            yield piece


class _Echo:
    """A file for `csv.writer` whose `write` returns the line instead of storing it."""

    def write(self, line: str) -> str:
        return line


def csv_response(rows: Iterable[Iterable[object]], *, name: str) -> StreamingHttpResponse:
    """Stream the rows as a download; texts that spreadsheets would interpret as formulas are escaped."""
    table = csv.writer(_Echo())
    lines = (
        table.writerow([guarded(cell) if isinstance(cell, str) else cell for cell in row]) for row in rows
    )
    return StreamingHttpResponse(
        lines,
        content_type="text/csv; charset=utf-8",
        headers={
            "Cache-Control": "private, no-store",
            "Content-Disposition": f'attachment; filename="{name}"',
            "X-Content-Type-Options": "nosniff",
        },
    )


# Spreadsheets interpret a text that begins with one of these as a formula, unless an apostrophe precedes it.
FORMULAS = ("=", "+", "-", "@", "\t", "\r", "'")


def guarded(text: str) -> str:
    """Return the text, prefixed by an apostrophe if it looks like a formula; imports remove it again."""
    return f"'{text}" if text.startswith(FORMULAS) else text

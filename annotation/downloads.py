"""Answering with a large file, with the part that a broken-off download still lacks, or with a table."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO

from django.http import FileResponse, HttpRequest, HttpResponse, HttpResponseBase, StreamingHttpResponse

CHUNK = 1 << 18
ONE_RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})")


def file_response(request: HttpRequest, *, file: Path, sha256: str) -> HttpResponseBase:
    """The file as a download; 206 with the bytes that `Range` asks for, 416 when there are none such.

    Several ranges at once, and a range of a file that has changed (`If-Range`), are answered with the whole.
    The file must be there.

    Source: RFC 9110, sections 13.1.5 and 14.
    """
    size, etag = file.stat().st_size, f'"{sha256}"'
    found = ONE_RANGE.fullmatch(request.headers.get("Range", "").replace(" ", ""))
    is_same = request.headers.get("If-Range", etag) == etag
    response: HttpResponseBase
    if found is None or not is_same or found.groups() == ("", "") or request.method != "GET":
        response = FileResponse(file.open("rb"))
        response.headers["Content-Length"] = str(size)
    elif (asked := _asked(found[1], found[2], size)) is None:
        response = HttpResponse(status=416, headers={"Content-Range": f"bytes */{size}"})
    else:
        start, end = asked
        response = StreamingHttpResponse(_piece(file.open("rb"), start, end), status=206)
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


def _asked(first: str, last: str, size: int) -> tuple[int, int] | None:
    """The bytes from start up to, not including, end; None when there are none such."""
    if not first:  # the last so many
        start, end = max(0, size - int(last)), size
    else:
        start, end = int(first), min(size, int(last) + 1) if last else size
    return (start, end) if start < end else None


def _piece(content: IO[bytes], start: int, end: int) -> Iterator[bytes]:
    with content:
        content.seek(start)
        while start < end and (piece := content.read(min(CHUNK, end - start))):
            start += len(piece)
            yield piece


class _Line:
    """A file that keeps nothing: what is written comes back from `write`."""

    def write(self, line: str) -> str:
        return line


def csv_response(rows: Iterable[Iterable[object]], *, name: str) -> StreamingHttpResponse:
    """The rows as a download, each sent when it is read; texts are no formulas to a spreadsheet."""
    table = csv.writer(_Line())
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


# A spreadsheet takes a text that begins so for a formula, unless an apostrophe stands before it.
FORMULAS = ("=", "+", "-", "@", "\t", "\r", "'")


def guarded(text: str) -> str:
    """The text as no formula; an importer takes the apostrophe away again."""
    return f"'{text}" if text.startswith(FORMULAS) else text

"""Scores of many files as they come, and the forms in which they are written out."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Protocol

from rewardmodel.learning.cli.listings import Asked
from rewardmodel.learning.cli.png_info import PngInfoError, write_score

if TYPE_CHECKING:
    from rewardmodel.learning.scoring import Scorer

CHUNK = 128  # rows scored before any of them is written
FORMATS = ("csv", "json", "jsonl")


class TextStream(Protocol):
    """Where rows are written: a file, or what a management command prints to."""

    def write(self, text: str, /) -> Any: ...


@dataclass(frozen=True)
class Scored:
    """An image's score for its prompt, or why it has none."""

    file: str
    prompt: str
    score: float | None
    unread: int  # word pieces of the prompt beyond what the model reads
    error: str = ""


class Tally:
    """How many of the rows that went by failed, and how many have a prompt not read to its end."""

    def __init__(self) -> None:
        self.failed = self.truncated = 0

    def of(self, rows: Iterable[Scored]) -> Iterator[Scored]:
        """The same rows, counted."""
        for row in rows:
            self.failed += bool(row.error)
            self.truncated += row.unread > 0
            yield row


def score_files(
    scorer: Scorer, asked: Sequence[Asked], *, keep_going: bool = False, png_info: bool = False
) -> Iterator[Scored]:
    """Score each image for its prompt, in order.

    Args:
        keep_going: what cannot be read, or written into, is a row that says why; otherwise it is raised.
        png_info: write each score into its file, a PNG.
    Raises: UnreadableImage, PngInfoError.
    """
    for start in range(0, len(asked), CHUNK):
        chunk = asked[start : start + CHUNK]
        unread = scorer.lost([each.prompt for each in chunk])
        for each, lost, (score, error) in zip(chunk, unread, _scores(scorer, chunk, keep_going), strict=True):
            if png_info and score is not None:
                error = _write(each, score, keep_going)
            yield Scored(str(each.file), each.prompt, score, lost, error)


def _scores(scorer: Scorer, chunk: Sequence[Asked], keep_going: bool) -> list[tuple[float | None, str]]:
    from rewardmodel.learning.data.preprocessing import UnreadableImage

    try:
        scores = scorer.score_pairs([each.prompt for each in chunk], [each.file for each in chunk])
        return [(score, "") for score in scores]
    except UnreadableImage as error:
        if not keep_going:
            raise
        if len(chunk) == 1:
            return [(None, str(error))]
    half = len(chunk) // 2  # the whole ones still share batches
    return [*_scores(scorer, chunk[:half], keep_going), *_scores(scorer, chunk[half:], keep_going)]


def _write(each: Asked, score: float, keep_going: bool) -> str:
    try:
        write_score(each.file, score)
    except PngInfoError as error:
        if not keep_going:
            raise
        return str(error)
    return ""


def ranked(rows: Iterable[Scored]) -> list[dict[str, Any]]:
    """The rows, best first, with their rank; those without a score come last and have none."""
    scored = sorted(rows, key=lambda row: (row.score is None, -(row.score or 0.0)))
    return [
        {"rank": None if row.score is None else rank} | asdict(row)
        for rank, row in enumerate(scored, start=1)
    ]


def write_rows(rows: Iterable[Mapping[str, Any]], stream: TextStream, form: str) -> None:
    """Write each row as it comes: CSV with a header, one JSON list, or JSON one a line."""
    if form == "csv":
        _write_csv(rows, stream)
        return
    as_list, coming = form == "json", iter(rows)
    row = next(coming, None)
    if as_list:
        stream.write("[\n")
    while row is not None:
        following = next(coming, None)
        comma = "," if as_list and following is not None else ""
        stream.write(json.dumps(row, ensure_ascii=False) + comma + "\n")
        row = following
    if as_list:
        stream.write("]\n")


def _write_csv(rows: Iterable[Mapping[str, Any]], stream: TextStream) -> None:
    writer: csv.DictWriter[str] | None = None
    for row in rows:
        if writer is None:
            writer = csv.DictWriter(stream, list(row), lineterminator="\n")
            writer.writeheader()
        writer.writerow(row)

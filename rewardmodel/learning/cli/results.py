"""Scores of many files as they come, and the forms in which they are written out."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Protocol

from rewardmodel.learning.cli.listings import PromptedImage
from rewardmodel.learning.cli.png_info import PngInfoError, write_score
from rewardmodel.learning.reference import standings

if TYPE_CHECKING:
    from rewardmodel.learning.scoring import Scorer

CHUNK = 128  # rows scored before any of them is written
FORMATS = ("csv", "json", "jsonl")


class TextStream(Protocol):
    """Where rows are written: a file, or what a management command prints to."""

    def write(self, text: str, /) -> Any: ...


@dataclass(frozen=True)
class ScoredImage:
    """An image's score for its prompt, or the error that it has instead.

    percentile, preferred: where the score stands among the images that the model was validated on, 0 to 100,
    and how probably people prefer the image to one of them in the middle, or to what `score_files` was given;
    None where the model does not know those images' scores.
    """

    file: str
    prompt: str
    score: float | None
    percentile: float | None
    preferred: float | None
    unread: int  # word pieces of the prompt beyond what the model reads
    error: str = ""


class Tally:
    """Counts the rows that failed, and those whose prompt is truncated."""

    def __init__(self) -> None:
        self.failed = self.truncated = 0

    def count(self, rows: Iterable[ScoredImage]) -> Iterator[ScoredImage]:
        """Yield the same rows, counting them."""
        for row in rows:
            self.failed += bool(row.error)
            self.truncated += row.unread > 0
            yield row


def score_files(
    scorer: Scorer,
    images: Sequence[PromptedImage],
    *,
    keep_going: bool = False,
    png_info: bool = False,
    over: float | None = None,
) -> Iterator[ScoredImage]:
    """Score each image for its prompt, in order.

    Args:
        keep_going: give a file that cannot be read, or written into, a row with the error; else raise it.
        png_info: write each score into its file, a PNG.
        over: the reward of what `preferred` compares with; None is the median of the validation images.
    Raises: UnreadableImage, PngInfoError.
    """
    for start in range(0, len(images), CHUNK):
        chunk = images[start : start + CHUNK]
        unread = scorer.lost([image.prompt for image in chunk])
        scores = _score_chunk(scorer, chunk, keep_going)
        for image, pieces, (score, error) in zip(chunk, unread, scores, strict=True):
            if png_info and score is not None:
                error = _write_png_info(image, score, keep_going)
            [standing] = standings(scorer.config.reference, [score], over=over)
            yield ScoredImage(
                str(image.file),
                image.prompt,
                score,
                standing.percentile if standing else None,
                standing.preferred if standing else None,
                pieces,
                error,
            )


def _score_chunk(
    scorer: Scorer, chunk: Sequence[PromptedImage], keep_going: bool
) -> list[tuple[float | None, str]]:
    from rewardmodel.learning.data.preprocessing import UnreadableImage

    try:
        scores = scorer.score_pairs([image.prompt for image in chunk], [image.file for image in chunk])
        return [(score, "") for score in scores]
    except UnreadableImage as error:
        if not keep_going:
            raise
        if len(chunk) == 1:
            return [(None, str(error))]
    half = len(chunk) // 2  # those that can be read still share batches
    return [*_score_chunk(scorer, chunk[:half], keep_going), *_score_chunk(scorer, chunk[half:], keep_going)]


def _write_png_info(image: PromptedImage, score: float, keep_going: bool) -> str:
    """Return the error, if it is not raised, or ""."""
    try:
        write_score(image.file, score)
    except PngInfoError as error:
        if not keep_going:
            raise
        return str(error)
    return ""


def rank_rows(rows: Iterable[ScoredImage]) -> list[dict[str, Any]]:
    """Return the rows with their rank, best first; those without a score come last and have none."""
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
    as_list, remaining = form == "json", iter(rows)
    row = next(remaining, None)
    if as_list:
        stream.write("[\n")
    while row is not None:
        following = next(remaining, None)
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

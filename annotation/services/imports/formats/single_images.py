"""Tables of single images with their pictures, a row an image: they rank the images of a prompt."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from annotation.models import Issue, Problem, Project
from annotation.models.prompts import KEY_LENGTH, SOURCE_LENGTH
from annotation.services.imports.formats.pictures import PictureFolder, file_name, unpack_tables
from annotation.services.imports.formats.record import (
    RankingRecord,
    acceptable_slots,
    annotator,
    category,
    check_same,
    choices,
    distinct,
    flag,
    generator,
    group_rows,
    positions,
    rating_columns,
    ratings,
    seconds,
)
from annotation.services.imports.rows import Row
from annotation.services.projects.prompts import own_id

IMAGE = "image"  # its picture, as bytes or as `datasets` has it
OF_RANKING = ("category", "intent_unclear", "issues", "seconds", "acceptable_slots")
OURS = ("prompt_id", "annotator", "slot", "generator", "problems", "position", *OF_RANKING)


@dataclass(frozen=True)
class Table:
    """How a format's rows say what Laurel asks for; beside these columns they have IMAGE and OURS.

    Args:
        source, text: the columns of an image's name, and of its prompt.
        papers: as of `columns_among`.
        score: of an image without a slot, higher is better.
        with_points: the rows of a prompt's images -> these with points in the columns of ratings, where they
            have something else in them.
    Both may raise ImportRefused.
    """

    source: str
    text: str
    papers: Mapping[str, str]
    score: Callable[[Row], float | Fraction]
    with_points: Callable[[list[Row]], list[Row]] = list

    def records(self, project: Project, rows: Iterable[Row]) -> Iterator[RankingRecord]:
        """Yield a record per prompt and annotator; without slots, the images are in the order of scores.

        Raises: ImportRefused.
        """
        for images in group_rows(rows, lambda row: (self._key(row), annotator(row, "annotator"))):
            first = images[0]
            key = self._key(first)
            check_same(images, (self.text, *OF_RANKING))
            slots = self._slots(project, images)
            rated = self.with_points(images)
            stars = ratings(project, rated, rating_columns(rated, self.papers))
            yield RankingRecord(
                row=first,
                key=key,
                text=first.text(self.text),
                sources=distinct(images, self.source, longest=SOURCE_LENGTH),
                slots=slots,
                annotator=annotator(first, "annotator"),
                category=category(first, "category"),
                intent_unclear=flag(first, "intent_unclear"),
                issues=choices(first, "issues", Issue.values),
                ratings=stars,
                problems=tuple(choices(row, "problems", Problem.values) for row in images) if stars else (),
                generators=tuple(generator(row, "generator") for row in images),
                files=tuple(self._file(row, key) for row in images),
                positions=positions(first, [row.fields.get("position") for row in images]),
                seconds=seconds(first),
                acceptable_slots=acceptable_slots(first, project),
            )

    def unpack(self, file: Path, folder: Path, names: list[str], into: PictureFolder) -> set[str]:
        """Extract pictures, as `Reader` has it."""
        keys = (self.source, self.text, "prompt_id")
        return unpack_tables(file, names, into, columns=(IMAGE,), keys=keys, pictures=self._pictures)

    def _key(self, row: Row) -> str:
        """Return the prompt id of our exports, else one that follows from the text."""
        if row.fields.get("prompt_id") is None:
            return own_id(row.text(self.text))
        return row.text("prompt_id", longest=KEY_LENGTH)

    def _slots(self, project: Project, images: list[Row]) -> list[int]:
        """Return the slots of our exports, else places by score: equal scores tie."""
        if images[0].fields.get("slot") is not None:
            return [row.integer("slot", low=1, high=project.slots) for row in images]
        scores = [self.score(row) for row in images]
        best_first = sorted(set(scores), reverse=True)
        return [best_first.index(score) + 1 for score in scores]

    def _file(self, row: Row, key: str) -> str | None:
        """Return the name that the picture is unpacked under; None without one, the path without IMAGE."""
        source: str = row.fields[self.source]
        if IMAGE not in row.fields:
            return source
        return None if row.fields[IMAGE] is None else file_name(key, source)

    def _pictures(self, row: Row) -> Iterator[tuple[str, bytes | None]]:
        yield file_name(self._key(row), row.fields[self.source]), row.picture(IMAGE)

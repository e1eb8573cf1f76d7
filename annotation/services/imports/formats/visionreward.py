"""Reading VisionRewardDB-Image, grades of single images, in parquet: they rank a prompt's images."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from fractions import Fraction

from annotation.models import Project
from annotation.models.axes import RATING, UNGRADED, VISIONREWARD, field_of, point_of
from annotation.services.imports.formats.record import RankingRecord, Reader, rating_columns
from annotation.services.imports.formats.single_images import IMAGE, OURS, Table
from annotation.services.imports.rows import Row

REQUIRED = ("internal_id", "prompt", "annotation")
DERIVED = ("meta_result", "meta_mask")  # answers to questions of yes and no, which follow from the grades
OPTIONAL = (IMAGE, "url", *DERIVED, *OURS)
QUESTIONS = {axis: field_of(axis) for axis in VISIONREWARD}
KIND = "unsafe type"  # of what is unsafe: no grade, and not read
STEPS = {axis: high - low for axis, (low, high) in VISIONREWARD.items()}
WHOLE = math.lcm(*STEPS.values())  # in which each step of a question is a whole number


def _read_grades(project: Project, rows: Iterable[Row]) -> Iterator[RankingRecord]:
    """Yield the records; without slots, the images of a prompt are in the order of their mean grades."""
    return TABLE.records(project, map(_with_points, rows))


def _with_points(row: Row) -> Row:
    """Return the row with its grades by axis, and a point for each beside those that are no grades.

    Raises: ImportRefused.
    """
    row.check_names(required=REQUIRED, optional=(*OPTIONAL, *rating_columns([row], UNGRADED).values()))
    said = row.with_fields({} if row.fields["annotation"] is None else row.record("annotation"))
    said.check_names(required=(), optional=(*QUESTIONS.values(), KIND))
    grades = {
        axis: said.integer(QUESTIONS[axis], low=low, high=high)
        for axis, (low, high) in VISIONREWARD.items()
        if said.fields.get(QUESTIONS[axis]) is not None
    }
    points = {axis + RATING: point_of(axis, grade) for axis, grade in grades.items()}
    if twice := [name for name in points if row.fields.get(name) is not None]:
        raise row.refused(f"{twice[0]!r} has a point, and 'annotation' a grade of the same question")
    return row.with_fields({**row.fields, **points, "annotation": grades})


def _mean_grade(row: Row) -> Fraction:
    """Return the mean of an image's grades, each from 0, its question's lowest, to 1, its highest.

    It is exact, so that equal means tie. Raises: ImportRefused for an image without grades.
    """
    grades = row.fields["annotation"]
    if not grades:
        raise row.refused("has neither a grade nor a slot")
    shares = [(grade - VISIONREWARD[axis][0]) * (WHOLE // STEPS[axis]) for axis, grade in grades.items()]
    return Fraction(sum(shares), WHOLE * len(shares))


TABLE = Table(source="internal_id", text="prompt", papers=UNGRADED, score=_mean_grade)
READER = Reader(
    name="visionreward",
    fields=("annotation", "internal_id"),
    read=_read_grades,
    unpack=TABLE.unpack,
    unread=DERIVED,
    judges_single_images=True,
)

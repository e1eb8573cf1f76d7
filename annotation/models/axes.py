"""What images are rated on: the axes that a project names, by default the paper's three.

The one place that knows them: what an axis is, how the points on axes lie in rows, and what tables call them.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any
from unicodedata import category

from django.core.exceptions import ValidationError
from django.db.models import F, SmallIntegerField
from django.db.models.expressions import Combinable
from django.db.models.fields.json import KeyTextTransform
from django.db.models.functions import Cast

SCALE = (1, 7)  # lowest and highest point of every axis; higher is better
MOST = 18  # axes of a project
LONGEST = {"name": 30, "title": 40, "question": 120, "low": 40, "middle": 40, "high": 40}  # letters
NAME = re.compile(f"[a-z][a-z0-9_]{{0,{LONGEST['name'] - 1}}}")


@dataclass(frozen=True)
class Axis:
    """One axis: its question, and the meaning of its ends and its middle.

    `name` stands in files, in the API and in the form: a small letter, then small letters, digits and "_".
    """

    name: str
    title: str
    question: str = ""
    low: str = ""
    middle: str = ""
    high: str = ""

    @property
    def short(self) -> str:
        """The name in words, beside a point where there is little room."""
        return self.name.replace("_", " ")


# Source: ImageReward, appendix B.2; the words are ours.
PAPER = (
    Axis(
        "overall",
        "Overall",
        "If you had asked for this, how content would you be with this image?",
        "Useless, or does harm",
        "Usable, with clear flaws",
        "Could hardly be better",
    ),
    Axis(
        "alignment",
        "Match with the text",
        "Does the image show what the text says?",
        "Shows none of it",
        "Main things right, details not",
        "Everything, down to details",
    ),
    Axis(
        "fidelity",
        "Quality of the picture",
        "Do things look the way they should?",
        "Glaring faults spoil it",
        "Faults, but it holds together",
        "No faults, of one piece",
    ),
)
COLUMNS = tuple(axis.name for axis in PAPER)  # of Rating; points on other axes are in its `others`
FIELDS = (*COLUMNS, "others")
RATING = "_rating"  # ends a table's name of an axis that is none of the paper's
# What tables call the axes that they know, by axis.
CSV = {name: name for name in COLUMNS}
IMAGEREWARDDB = {
    "overall": "overall_rating",
    "alignment": "image_text_alignment_rating",
    "fidelity": "fidelity_rating",
}
RICHHF = {
    "overall": "overall_score",
    "alignment": "misalignment_score",  # higher is better, whatever it is called
    "fidelity": "artifact_score",  # as well
    "aesthetics": "aesthetics_score",
}
# The lowest and the highest grade of each question of VisionRewardDB-Image, by axis. An image may lack some:
# one without hands has no grade of them.
# Source: the card of huggingface.co/datasets/zai-org/VisionRewardDB-Image.
VISIONREWARD = {
    "symmetry": (-1, 1),
    "richness": (-2, 2),
    "color_aesthetic": (-1, 1),
    "detail_realism": (-3, 1),
    "safety": (-3, 1),
    "body": (-4, 1),
    "lighting_aesthetic": (-1, 2),
    "lighting_distinction": (-1, 2),
    "background": (-1, 2),
    "emotion": (-2, 2),
    "main_object": (-1, 1),
    "color_brightness": (-1, 1),
    "face": (-3, 2),
    "hands": (-4, 1),
    "clarity": (-2, 2),
    "detail_refinement": (-4, 2),
    "object_pairing": (-1, 1),
}
UNGRADED = {name: name + RATING for name in COLUMNS}  # of VisionRewardDB: points that are no grades of it
NO_LETTERS = {"Cc", "Cs", "Zl", "Zp"}  # of Unicode: controls, halves of pairs, ends of lines and paragraphs
TAKEN = ("problems", "image_text_alignment")  # a rating's problems; a column of ImageRewardDB


def as_axes(stored: list[dict[str, str]] | None) -> tuple[Axis, ...]:
    """Return the axes that a project stores; None: the paper's."""
    return PAPER if stored is None else tuple(Axis(**axis) for axis in stored)


def as_stored(axes: Iterable[Axis]) -> list[dict[str, str]] | None:
    """Return what a project stores of these axes; None of the paper's."""
    named = tuple(axes)
    return None if named == PAPER else [asdict(axis) for axis in named]


def check_axes(stored: object) -> None:
    """Raises: ValidationError saying what is wrong, unless these are axes as a project stores them."""
    if not isinstance(stored, list) or not all(isinstance(axis, dict) for axis in stored):
        raise ValidationError("Axes are a list of objects with a name and a title.")
    if not 1 <= len(stored) <= MOST:
        raise ValidationError(f"Images are rated on 1 to {MOST} axes, not on {len(stored)}.")
    for number, axis in enumerate(stored, start=1):
        _check_axis(number, axis)
    for part in ("name", "title"):
        values = [axis[part].casefold() for axis in stored]
        if repeated := [value for value in values if values.count(value) > 1]:
            raise ValidationError(f"Two axes have the {part} {repeated[0]!r}.")


def _check_axis(number: int, axis: Mapping[object, object]) -> None:
    parts = [field.name for field in fields(Axis)]
    if unknown := [part for part in axis if part not in parts]:
        raise ValidationError(f"Axis {number} has {unknown[0]!r}, which is none of {', '.join(parts)}.")
    for part, value in axis.items():
        if not isinstance(value, str) or any(category(letter) in NO_LETTERS for letter in value):
            raise ValidationError(f"Axis {number}: its {part} is no line of text.")
    name, title = str(axis.get("name", "")), str(axis.get("title", ""))
    if not title.strip():
        raise ValidationError(f"Axis {number} has no title.")
    if not NAME.fullmatch(name) or name in TAKEN or name.endswith(RATING):
        raise ValidationError(
            f"Axis {number} cannot be named {name!r}: a name is up to 30 small letters, digits and _, begins "
            f"with a letter, does not end with {RATING}, and is none of {', '.join(TAKEN)}."
        )
    for part, longest in LONGEST.items():
        if len(str(axis.get(part, ""))) > longest:
            raise ValidationError(f"Axis {number}: its {part} is longer than {longest} letters.")


# Rows


def points_of(
    overall: int | None, alignment: int | None, fidelity: int | None, others: Mapping[str, int] | None
) -> dict[str, int]:
    """Return the point on each axis by its name. Args: FIELDS of a Rating."""
    own = zip(COLUMNS, (overall, alignment, fidelity), strict=True)
    return {name: point for name, point in own if point is not None} | dict(others or {})


def fields_of(points: Mapping[str, int]) -> dict[str, Any]:
    """Return the FIELDS of a Rating with these points, by axis."""
    others = {name: point for name, point in points.items() if name not in COLUMNS}
    return {name: points.get(name) for name in COLUMNS} | {"others": others or None}


def point(axis: str) -> Combinable:
    """Return the SQL of a Rating's point on the axis; null where it has none."""
    return F(axis) if axis in COLUMNS else Cast(KeyTextTransform(axis, "others"), SmallIntegerField())


# Tables in files


def column_of(axis: str, papers: Mapping[str, str]) -> str:
    """Return the table's column of the axis. Args: papers: CSV, IMAGEREWARDDB, RICHHF or UNGRADED."""
    return papers[axis] if axis in papers else axis + RATING


def columns_among(names: Collection[str], papers: Mapping[str, str]) -> dict[str, str]:
    """Return those of a table's columns that are axes, by axis. Args: papers: as of `column_of`."""
    axis_of = {column: axis for axis, column in papers.items()}
    further = {name: name.removesuffix(RATING) for name in names if _is_further(name)}
    return {axis: column for column, axis in (further | axis_of).items() if column in names}


def _is_further(column: str) -> bool:
    """Whether the column is of an axis that is none of the paper's."""
    axis = column.removesuffix(RATING)
    return axis not in (column, *COLUMNS, *TAKEN) and NAME.fullmatch(axis) is not None


def field_of(axis: str) -> str:
    """Return the field of VisionRewardDB-Image that has the grades of this axis of VISIONREWARD."""
    return axis.replace("_", " ")


def point_of(axis: str, grade: int) -> int:
    """Return the point of a grade: 1 is the lowest that the question of VISIONREWARD has."""
    return grade - VISIONREWARD[axis][0] + SCALE[0]


def grade_of(axis: str, point: int) -> int | None:
    """Return the grade of a point; None on an axis that is none of VISIONREWARD, and beyond its highest."""
    if axis not in VISIONREWARD:
        return None
    low, high = VISIONREWARD[axis]
    grade = point - SCALE[0] + low
    return grade if grade <= high else None

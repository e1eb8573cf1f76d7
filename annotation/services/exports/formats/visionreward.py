"""VisionRewardDB-Image's grades of single images, in parquet with the images."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pyarrow

from annotation.models.axes import UNGRADED, VISIONREWARD, column_of, field_of, grade_of
from annotation.selectors.exports import ExportedImage, ExportedRanking
from annotation.services.exports.formats import single_images
from annotation.services.exports.formats.format import Format
from annotation.services.exports.formats.picture_tables import (
    IMAGE,
    Pictures,
    PictureTable,
    as_image,
    schema_of,
)

QUESTIONS = [*map(field_of, VISIONREWARD), "unsafe type"]
# The dataset's columns but `url`, and the answers of yes and no that follow from the grades; then ours.
# Source: the card of huggingface.co/datasets/zai-org/VisionRewardDB-Image.
FIELDS = [
    ("image", IMAGE),
    ("internal_id", pyarrow.string()),
    ("prompt", pyarrow.string()),
    ("annotation", pyarrow.struct([(question, pyarrow.int64()) for question in QUESTIONS])),
    *single_images.FIELDS,
]


def _schema(axes: Iterable[str]) -> pyarrow.Schema:
    """The columns where images are rated on these axes: points that are no grades come last."""
    return schema_of([*FIELDS, *((column_of(axis, UNGRADED), pyarrow.int8()) for axis in axes)])


def _rows(ranking: ExportedRanking, pictures: Pictures) -> list[dict[str, Any]]:
    return [_row(ranking, image, pictures) for image in ranking.images]


def _row(ranking: ExportedRanking, image: ExportedImage, pictures: Pictures) -> dict[str, Any]:
    grades = {axis: grade_of(axis, point) for axis, point in image.points.items()}
    ungraded = {axis: point for axis, point in image.points.items() if grades[axis] is None}
    return {
        "image": as_image(image, pictures),
        "internal_id": image.source,
        "prompt": ranking.text,
        "annotation": {field_of(axis): grades.get(axis) for axis in VISIONREWARD},
        **single_images.cells(ranking, image),
        **{column_of(axis, UNGRADED): point for axis, point in ungraded.items()},
    }


TABLE = PictureTable(_schema, _rows)
FORMAT = Format(
    name="visionreward",
    label="VisionRewardDB-Image: graded questions on single images, parquet with images",
    data="data/*.parquet",
    about=f"""One row for every image of an opinion: the `image`, as `datasets` decodes images, the `prompt`,
as `internal_id` the name under which the image was imported, and in `annotation` the grades on the questions
of VisionRewardDB-Image, higher is better: `color aesthetic` is of the axis `color_aesthetic`. Point 1 is a
question's lowest grade, and each point more is a grade more; null where the project has no such axis, or the
image no point on it. A point that is no grade, above the highest or on any other axis, stands as it is, from
1 to 7, in a last column, the name of its axis with `_rating`: none is cut off or rounded. `unsafe type` is
null, for Laurel does not ask for it; `url`, and `meta_result` and `meta_mask`, which follow from the grades,
are left out. Beside the grades {single_images.ABOUT}""",
    write=TABLE.write,
    finish=TABLE.ensure,
    has_images=True,
)

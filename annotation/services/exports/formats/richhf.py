"""RichHF-18K's scores of single images, in parquet with the images, as its copies with images have them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pyarrow

from annotation.models.axes import RICHHF, SCALE, column_of
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

SCORE = pyarrow.float32()
# The copies' columns without what Laurel does not ask for, heat maps and misaligned words; then ours.
# Source: github.com/google-research-datasets/richhf-18k, and `image` and `caption` of
# huggingface.co/datasets/Exploration/richhf_18k_with_images.
FIELDS = [
    ("filename", pyarrow.string()),
    ("caption", pyarrow.string()),
    ("image", IMAGE),
    *((column, SCORE) for column in RICHHF.values()),
    *single_images.FIELDS,
]


def _schema(axes: Iterable[str]) -> pyarrow.Schema:
    """The columns where images are rated on these axes: further ones come last."""
    further = [(column_of(axis, RICHHF), SCORE) for axis in axes if axis not in RICHHF]
    return schema_of([*FIELDS, *further])


def score(point: int | None) -> float | None:
    """Return a point of SCALE as RichHF-18K has scores: 0 is the lowest and 1 the highest.

    Source: arXiv 2312.10240, section 3: five points, as (point - 1) / 4.
    """
    low, high = SCALE
    return None if point is None else (point - low) / (high - low)


def _rows(ranking: ExportedRanking, pictures: Pictures) -> list[dict[str, Any]]:
    return [_row(ranking, image, pictures) for image in ranking.images]


def _row(ranking: ExportedRanking, image: ExportedImage, pictures: Pictures) -> dict[str, Any]:
    return {
        "filename": image.source,
        "caption": ranking.text,
        "image": as_image(image, pictures),
        **{column_of(axis, RICHHF): score(image.points.get(axis)) for axis in (*RICHHF, *image.points)},
        **single_images.cells(ranking, image),
    }


TABLE = PictureTable(_schema, _rows)
FORMAT = Format(
    name="richhf",
    label="RichHF-18K: scores of single images, parquet with images",
    data="data/*.parquet",
    about=f"""One row for every image of an opinion: the `caption`, the `image`, as `datasets` decodes images,
and as `filename` the name under which it was imported. The scores are RichHF-18K's, from 0 to 1, higher is
better, each a point from 1 to 7 less 1, divided by 6: `overall_score`, `misalignment_score` of the axis
`alignment`, `artifact_score` of `fidelity`, `aesthetics_score` of `aesthetics`; null on an axis that the
project does not have. Any other axis is a last column, its name with `_rating`, from 0 to 1 too. Heat maps
and misaligned words, which Laurel does not ask for, are left out. Beside the scores {single_images.ABOUT}""",
    write=TABLE.write,
    finish=TABLE.ensure,
    has_images=True,
)

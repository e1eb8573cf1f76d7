"""Triples for DPO: a row for every two images in different slots, `chosen` and `rejected`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pyarrow

from annotation.selectors.exports import ExportedRanking
from annotation.services.exports.formats.format import Format
from annotation.services.exports.formats.picture_tables import (
    IMAGE,
    Pictures,
    PictureTable,
    as_image,
    schema_of,
)

# The triple; the columns of data-is-better-together/open-image-preferences-v1-binarized; then ours.
FIELDS = [
    ("prompt", pyarrow.string()),
    ("chosen", IMAGE),
    ("rejected", IMAGE),
    ("chosen_model", pyarrow.string()),
    ("rejected_model", pyarrow.string()),
    ("prompt_id", pyarrow.string()),
    ("annotator", pyarrow.string()),
    ("chosen_slot", pyarrow.int8()),
    ("rejected_slot", pyarrow.int8()),
    ("chosen_position", pyarrow.int8()),
    ("rejected_position", pyarrow.int8()),
    ("seconds", pyarrow.float64()),
    ("acceptable_slots", pyarrow.int8()),
]
SCHEMA = schema_of(FIELDS)


def _rows(ranking: ExportedRanking, pictures: Pictures) -> Iterator[dict[str, Any]]:
    for a, b in ranking.pairs():
        if a.slot == b.slot:
            continue
        chosen, rejected = (a, b) if a.slot < b.slot else (b, a)
        yield {
            "prompt": ranking.text,
            "chosen": as_image(chosen, pictures),
            "rejected": as_image(rejected, pictures),
            "chosen_model": chosen.generator,
            "rejected_model": rejected.generator,
            "prompt_id": ranking.key,
            "annotator": ranking.annotator,
            "chosen_slot": chosen.slot,
            "rejected_slot": rejected.slot,
            "chosen_position": chosen.position,
            "rejected_position": rejected.position,
            "seconds": ranking.seconds,
            "acceptable_slots": ranking.acceptable_slots,
        }


TABLE = PictureTable(lambda axes: SCHEMA, _rows)
FORMAT = Format(
    name="dpo",
    label="DPO triples: parquet with images",
    data="data/*.parquet",
    about="""One row for every two images that an opinion puts into different slots: the `prompt`, the
`chosen` and the `rejected` image, as `datasets` decodes images, each with its bytes and, as `path`, the name
under which it was imported. Beside them there are the generators, `prompt_id`, `annotator`, the slots, the
positions on the page, from 1, the `seconds` that the whole opinion took, absences included, and the
`acceptable_slots`: images in slots 1 to that are acceptable, none where it is 0; null where unknown.""",
    write=TABLE.write,
    finish=TABLE.ensure,
    has_images=True,
    leaves_out=("ratings", "labels", "problems", "opinions in which all images tie"),
)

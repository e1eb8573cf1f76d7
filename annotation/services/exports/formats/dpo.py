"""Triples for DPO: a row for every two images in different slots, `chosen` and `rejected`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow
from pyarrow import parquet

from annotation.selectors.exports import ExportedImage, ExportedRanking
from annotation.services.exports.formats.format import Format, Part, Plan, as_json, open_image

ROW_GROUP = 32 << 20  # bytes of images in memory at a time
# An image as Hugging Face `datasets` stores it in parquet: its feature `Image`.
IMAGE = pyarrow.struct([("bytes", pyarrow.binary()), ("path", pyarrow.string())])
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
FEATURES = {
    name: {"_type": "Image"} if kind == IMAGE else {"dtype": _dtype, "_type": "Value"}
    for name, kind in FIELDS
    for _dtype in ["float64" if kind == pyarrow.float64() else str(kind)]
}
SCHEMA = pyarrow.schema(FIELDS, metadata={"huggingface": as_json({"info": {"features": FEATURES}})})


def _rows(ranking: ExportedRanking, pictures: dict[str, bytes]) -> Iterator[dict[str, Any]]:
    for a, b in ranking.pairs():
        if a.slot == b.slot:
            continue
        chosen, rejected = (a, b) if a.slot < b.slot else (b, a)
        yield {
            "prompt": ranking.text,
            "chosen": _image(chosen, pictures),
            "rejected": _image(rejected, pictures),
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


def _image(image: ExportedImage, pictures: dict[str, bytes]) -> dict[str, Any]:
    return {"bytes": pictures.get(image.source), "path": image.source}


def _write_part(folder: Path, part: Part) -> None:
    (folder / "data").mkdir(exist_ok=True)
    rows: list[dict[str, Any]] = []
    size = 0  # bytes of the rows' pictures
    with _writer(folder / "data" / f"train-{part.number:06d}.parquet") as table:
        for ranking in part.rankings:
            pictures = {}
            for image in ranking.images if part.plan.images else ():
                if image.file:
                    with open_image(image) as content:
                        pictures[image.source] = content.read()
            rows += _rows(ranking, pictures)
            size += len(ranking.images) * sum(map(len, pictures.values()))
            if size > ROW_GROUP:
                table.write_table(pyarrow.Table.from_pylist(rows, SCHEMA))
                rows, size = [], 0
        table.write_table(pyarrow.Table.from_pylist(rows, SCHEMA))


def _writer(file: Path) -> parquet.ParquetWriter:
    return parquet.ParquetWriter(file, SCHEMA, compression="zstd")


def _ensure_table(folder: Path, plan: Plan) -> None:
    """Write an empty table where there was no part: readers need the columns."""
    if not (folder / "data").exists():
        (folder / "data").mkdir()
        with _writer(folder / "data" / "train-000000.parquet") as table:
            table.write_table(pyarrow.Table.from_pylist([], SCHEMA))


FORMAT = Format(
    name="dpo",
    label="DPO triples: parquet with images",
    data="data/*.parquet",
    about="""One row for every two images that an opinion puts into different slots: the `prompt`, the
`chosen` and the `rejected` image, as `datasets` decodes images, each with its bytes and, as `path`, the name
under which it was imported. Beside them there are the generators, `prompt_id`, `annotator`, the slots, the
positions on the page, from 1, the `seconds` that the whole opinion took, absences included, and the
`acceptable_slots`: images in slots 1 to that are acceptable, none where it is 0; null where unknown.""",
    write=_write_part,
    finish=_ensure_table,
    has_images=True,
    leaves_out=("ratings", "labels", "problems", "opinions in which all images tie"),
)

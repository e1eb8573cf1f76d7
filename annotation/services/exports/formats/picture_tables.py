"""Parquet tables with pictures in their rows, as Hugging Face `datasets` decodes them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow
from pyarrow import parquet

from annotation.selectors.exports import ExportedImage, ExportedRanking
from annotation.services.exports.formats.format import Part, Plan, as_json, read_image

Pictures = dict[str, bytes]  # source -> picture
ROW_GROUP = 32 << 20  # bytes of images in memory at a time
IMAGE = pyarrow.struct([("bytes", pyarrow.binary()), ("path", pyarrow.string())])
NAMES = {pyarrow.float32(): "float32", pyarrow.float64(): "float64"}  # as `datasets` calls them


def schema_of(fields: list[tuple[str, pyarrow.DataType]]) -> pyarrow.Schema:
    """Return the schema of these columns, with what `datasets` decodes each as."""
    features = {name: _feature(kind) for name, kind in fields}
    return pyarrow.schema(fields, metadata={"huggingface": as_json({"info": {"features": features}})})


def _feature(kind: pyarrow.DataType) -> dict[str, Any]:
    if kind == IMAGE:
        return {"_type": "Image"}
    if pyarrow.types.is_list(kind):
        return {"feature": _feature(kind.value_type), "_type": "Sequence"}
    if pyarrow.types.is_struct(kind):
        return {field.name: _feature(field.type) for field in kind}
    return {"dtype": NAMES.get(kind, str(kind)), "_type": "Value"}


def read_pictures(images: Iterable[ExportedImage]) -> Pictures:
    """Read those that have a file."""
    return {image.source: read_image(image) for image in images if image.file}


def as_image(image: ExportedImage, pictures: Pictures) -> dict[str, Any]:
    """Return the cell of a column of IMAGE."""
    return {"bytes": pictures.get(image.source), "path": image.source}


@dataclass(frozen=True)
class PictureTable:
    """How a format's tables are written, with a bounded number of pictures in memory.

    Args:
        schema: the axes that images are rated on -> the columns.
        rows: (ranking, its pictures) -> its rows.
    """

    schema: Callable[[Iterable[str]], pyarrow.Schema]
    rows: Callable[[ExportedRanking, Pictures], Iterable[dict[str, Any]]]

    def write(self, folder: Path, part: Part) -> None:
        """Write a part's table, as `Format` has it."""
        (folder / "data").mkdir(exist_ok=True)
        schema = self.schema(part.plan.axes)
        rows: list[dict[str, Any]] = []
        size = 0  # bytes of the rows' pictures
        with _writer(folder / "data" / f"train-{part.number:06d}.parquet", schema) as table:
            for ranking in part.rankings:
                pictures = read_pictures(ranking.images) if part.plan.images else {}
                new = list(self.rows(ranking, pictures))
                rows += new
                size += sum(
                    len(cell.get("bytes") or b"")
                    for row in new
                    for cell in row.values()
                    if isinstance(cell, dict)
                )
                if size > ROW_GROUP:
                    table.write_table(pyarrow.Table.from_pylist(rows, schema))
                    rows, size = [], 0
            table.write_table(pyarrow.Table.from_pylist(rows, schema))

    def ensure(self, folder: Path, plan: Plan) -> None:
        """Write an empty table where there was no part: readers need the columns."""
        if not (folder / "data").exists():
            (folder / "data").mkdir()
            schema = self.schema(plan.axes)
            with _writer(folder / "data" / "train-000000.parquet", schema) as table:
                table.write_table(schema.empty_table())


def _writer(file: Path, schema: pyarrow.Schema) -> parquet.ParquetWriter:
    return parquet.ParquetWriter(file, schema, compression="zstd")

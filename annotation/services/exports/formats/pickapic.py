"""Pick-a-Pic's columns: a row for every two images of a ranking, with their bytes."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import pyarrow
from pyarrow import parquet

from annotation.selectors.exports import ExportedImage, ExportedRanking
from annotation.services.exports.formats.format import (
    Format,
    Part,
    Plan,
    by_prompt,
    count_pairs,
)
from annotation.services.exports.formats.picture_tables import ROW_GROUP, Pictures, read_pictures

# A picture is in several pairs; dictionary encoding writes it once per row group.
PICTURE = pyarrow.dictionary(pyarrow.int32(), pyarrow.binary())
# Pick-a-Pic's columns, then ours. Source: huggingface.co/datasets/yuvalkirstain/pickapic_v1.
SCHEMA = pyarrow.schema(
    [
        ("are_different", pyarrow.bool_()),
        ("best_image_uid", pyarrow.string()),
        ("caption", pyarrow.string()),
        ("created_at", pyarrow.timestamp("us", "UTC")),
        ("has_label", pyarrow.bool_()),
        ("image_0_uid", pyarrow.string()),
        ("image_0_url", pyarrow.string()),
        ("image_1_uid", pyarrow.string()),
        ("image_1_url", pyarrow.string()),
        ("jpg_0", PICTURE),
        ("jpg_1", PICTURE),
        ("label_0", pyarrow.float64()),
        ("label_1", pyarrow.float64()),
        ("model_0", pyarrow.string()),
        ("model_1", pyarrow.string()),
        ("ranking_id", pyarrow.int64()),
        ("user_id", pyarrow.int64()),
        ("num_example_per_prompt", pyarrow.int64()),
        ("prompt_id", pyarrow.string()),
        ("slot_0", pyarrow.int8()),
        ("slot_1", pyarrow.int8()),
        ("position_0", pyarrow.int8()),
        ("position_1", pyarrow.int8()),
        ("seconds", pyarrow.float64()),
        ("acceptable_slots", pyarrow.int8()),
    ]
)


class _Pending(NamedTuple):
    """A ranking to write. `examples` is the number of pairs of its prompt; `pictures` are by source."""

    ranking: ExportedRanking
    examples: int
    pictures: Pictures


def _rows(ranking: ExportedRanking, examples: int) -> list[dict[str, Any]]:
    """Return the rows without the images' bytes, which `_table` adds."""
    rows = []
    for a, b in ranking.pairs():
        label = 0.5 if a.slot == b.slot else float(a.slot < b.slot)
        best = {1.0: a, 0.0: b}.get(label)
        rows.append(
            {
                "are_different": True,
                "best_image_uid": _uid(best) if best else "tie",
                "caption": ranking.text,
                "created_at": ranking.submitted_at,
                "has_label": True,
                "image_0_uid": _uid(a),
                "image_0_url": a.source,
                "image_1_uid": _uid(b),
                "image_1_url": b.source,
                "label_0": label,
                "label_1": 1 - label,
                "model_0": a.generator,
                "model_1": b.generator,
                "ranking_id": ranking.assignment,
                "user_id": int(ranking.annotator, 16),
                "num_example_per_prompt": examples,
                "prompt_id": ranking.key,
                "slot_0": a.slot,
                "slot_1": b.slot,
                "position_0": a.position,
                "position_1": b.position,
                "seconds": ranking.seconds,
                "acceptable_slots": ranking.acceptable_slots,
            }
        )
    return rows


def _uid(image: ExportedImage) -> str:
    return image.sha256 or image.source


def _write_part(folder: Path, part: Part) -> None:
    data = folder / "data"
    data.mkdir(exist_ok=True)
    pending: list[_Pending] = []
    size = 0  # bytes of the pending pictures
    with _writer(data / f"train-{part.number:06d}.parquet") as table:
        for rankings in by_prompt(part.rankings):
            examples = count_pairs(rankings)
            for ranking in rankings:
                pictures = read_pictures(ranking.images) if part.plan.images else {}
                pending.append(_Pending(ranking, examples, pictures))
                size += sum(map(len, pictures.values()))
                if size > ROW_GROUP:
                    table.write_table(_table(pending))
                    pending, size = [], 0
        table.write_table(_table(pending))


def _writer(file: Path) -> parquet.ParquetWriter:
    return parquet.ParquetWriter(
        file,
        SCHEMA,
        compression="zstd",
        dictionary_pagesize_limit=4 * ROW_GROUP,
        store_schema=False,  # so that readers see plain bytes
    )


def _table(pending: list[_Pending]) -> pyarrow.Table:
    pictures: list[Pictures] = []  # of each row
    rows: list[dict[str, Any]] = []
    for entry in pending:
        pairs = _rows(entry.ranking, entry.examples)
        rows += pairs
        pictures += [entry.pictures] * len(pairs)
    table = pyarrow.Table.from_pylist(rows, SCHEMA)
    for column, address in (("jpg_0", "image_0_url"), ("jpg_1", "image_1_url")):
        encoded = _encode(
            [by_source.get(row[address]) for by_source, row in zip(pictures, rows, strict=True)]
        )
        table = table.set_column(SCHEMA.get_field_index(column), SCHEMA.field(column), encoded)
    return table


def _encode(pictures: list[bytes | None]) -> pyarrow.Array:
    """Return the column as a dictionary array: each picture is in memory once."""
    codes: dict[bytes, int] = {}
    indices = [None if picture is None else codes.setdefault(picture, len(codes)) for picture in pictures]
    return pyarrow.DictionaryArray.from_arrays(
        pyarrow.array(indices, pyarrow.int32()), pyarrow.array(list(codes), pyarrow.binary())
    )


def _ensure_table(folder: Path, plan: Plan) -> None:
    """Write an empty table where there was no part: readers need the columns."""
    if not (folder / "data").exists():
        (folder / "data").mkdir()
        with _writer(folder / "data" / "train-000000.parquet") as table:
            table.write_table(_table([]))


FORMAT = Format(
    name="pickapic",
    label="Pick-a-Pic: parquet with images",
    data="data/*.parquet",
    about="""One row for every two images of an opinion, ties included (`label_0` and `label_1` are
0.5, `best_image_uid` is `tie`). `ranking_id` tells opinions apart, `user_id` annotators. Beside
Pick-a-Pic's columns there are `prompt_id`, the two slots, the two images' positions on the page, from 1,
the `seconds` that the whole opinion took, absences included, and the `acceptable_slots`: images in slots 1 to
that are acceptable, none where it is 0; null where unknown. An image's uid is the hash
of its bytes, its url the name under which it was imported.""",
    write=_write_part,
    finish=_ensure_table,
    has_images=True,
    leaves_out=("ratings", "labels", "problems"),
)

"""Pick-a-Pic's columns: a row for every two images of an opinion, with their bytes."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow
from pyarrow import parquet

from annotation.selectors.exports import ExportedImage, ExportedRanking
from annotation.services.exports.format import Format, Plan, by_prompt, count_pairs
from annotation.services.exports.images import open_image

ROW_GROUP = 32 << 20  # bytes of images in memory at a time
# A picture stands in several pairs and is written once a row group: in the dictionary of its column.
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
    ]
)


class _Waiting(NamedTuple):
    """An opinion that is to be written; `examples` are the pairs of its prompt, `pictures` go by source."""

    opinion: ExportedRanking
    examples: int
    pictures: dict[str, bytes]


def _rows(opinion: ExportedRanking, examples: int) -> list[dict[str, Any]]:
    """The bytes are left out: see `_table`."""
    rows = []
    for a, b in opinion.pairs():
        label = 0.5 if a.slot == b.slot else float(a.slot < b.slot)
        best = {1.0: a, 0.0: b}.get(label)
        rows.append(
            {
                "are_different": True,
                "best_image_uid": _uid(best) if best else "tie",
                "caption": opinion.text,
                "created_at": opinion.submitted_at,
                "has_label": True,
                "image_0_uid": _uid(a),
                "image_0_url": a.source,
                "image_1_uid": _uid(b),
                "image_1_url": b.source,
                "label_0": label,
                "label_1": 1 - label,
                "model_0": a.generator,
                "model_1": b.generator,
                "ranking_id": opinion.assignment,
                "user_id": int(opinion.annotator, 16),
                "num_example_per_prompt": examples,
                "prompt_id": opinion.key,
                "slot_0": a.slot,
                "slot_1": b.slot,
            }
        )
    return rows


def _uid(image: ExportedImage) -> str:
    return image.sha256 or image.source


def _write(folder: Path, number: int, rankings: Iterable[ExportedRanking], plan: Plan) -> None:
    data = folder / "data"
    data.mkdir(exist_ok=True)
    waiting: list[_Waiting] = []
    held = 0
    with parquet.ParquetWriter(
        data / f"train-{number:06d}.parquet",
        SCHEMA,
        compression="zstd",
        dictionary_pagesize_limit=4 * ROW_GROUP,
        store_schema=False,  # so that readers see plain bytes
    ) as table:
        for opinions in by_prompt(rankings):
            examples = count_pairs(opinions)
            for opinion in opinions:
                pictures = _pictures(opinion) if plan.images else {}
                waiting.append(_Waiting(opinion, examples, pictures))
                held += sum(map(len, pictures.values()))
                if held > ROW_GROUP:
                    table.write_table(_table(waiting))
                    waiting, held = [], 0
        table.write_table(_table(waiting))


def _pictures(opinion: ExportedRanking) -> dict[str, bytes]:
    pictures = {}
    for image in opinion.images:
        if image.file:
            with open_image(image) as content:
                pictures[image.source] = content.read()
    return pictures


def _table(waiting: list[_Waiting]) -> pyarrow.Table:
    rows = [_rows(one.opinion, one.examples) for one in waiting]
    columns = pyarrow.Table.from_pylist([row for pairs in rows for row in pairs], SCHEMA)
    for column, address in (("jpg_0", "image_0_url"), ("jpg_1", "image_1_url")):
        pictures = [
            one.pictures.get(row[address]) for one, pairs in zip(waiting, rows, strict=True) for row in pairs
        ]
        coded = _coded(pictures)
        columns = columns.set_column(SCHEMA.get_field_index(column), SCHEMA.field(column), coded)
    return columns


def _coded(pictures: list[bytes | None]) -> pyarrow.Array:
    """The column, each picture in memory once."""
    codes: dict[bytes, int] = {}
    indices = [None if picture is None else codes.setdefault(picture, len(codes)) for picture in pictures]
    return pyarrow.DictionaryArray.from_arrays(
        pyarrow.array(indices, pyarrow.int32()), pyarrow.array(list(codes), pyarrow.binary())
    )


def _finish(folder: Path, plan: Plan) -> None:
    """A table without rows where there was no batch: readers need the columns."""
    if not (folder / "data").exists():
        _write(folder, 0, [], plan)


FORMAT = Format(
    name="pickapic",
    label="Pick-a-Pic: parquet with images",
    data="data/*.parquet",
    about="""One row for every two images of an opinion, ties included (`label_0` and `label_1` are
0.5, `best_image_uid` is `tie`). `ranking_id` tells opinions apart, `user_id` annotators. Beside
Pick-a-Pic's columns there are `prompt_id` and the two slots. An image's uid is the hash of its bytes,
its url the name under which it was imported.""",
    write=_write,
    finish=_finish,
    has_images=True,
)

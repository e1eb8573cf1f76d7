"""ImageRewardDB's files: one table of all judged images, and the images in zips of about 250 prompts each."""

from __future__ import annotations

import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pyarrow
from pyarrow import parquet

from annotation.models import Category
from annotation.models.axes import IMAGEREWARDDB, column_of
from annotation.selectors.exports import ExportedImage, ExportedRanking
from annotation.services.exports.formats.format import PARTS, Format, Part, Plan, as_json, read_image

FILE = "metadata-train.parquet"
EPOCH = (1980, 1, 1, 0, 0, 0)  # the earliest date in a zip: equal rankings give equal bytes
# As the dataset's card spells them.
CLASSIFICATIONS = {
    Category.FOOD: "Food",
    Category.INDOOR: "Indoor Scenes",
    Category.OUTDOOR: "Outdoor Scenes",
    Category.WORLD: "World Knowledge",
}
# The card's columns, then ours. Source: huggingface.co/datasets/THUDM/ImageRewardDB.
SCHEMA = pyarrow.schema(
    [
        ("image_path", pyarrow.string()),
        ("prompt_id", pyarrow.string()),
        ("prompt", pyarrow.string()),
        ("classification", pyarrow.string()),
        ("image_amount_in_total", pyarrow.int8()),
        ("rank", pyarrow.int8()),
        *((column, pyarrow.int8()) for column in IMAGEREWARDDB.values()),
        ("problems", pyarrow.list_(pyarrow.string())),
        ("intent_unclear", pyarrow.bool_()),
        ("issues", pyarrow.list_(pyarrow.string())),
        ("annotator", pyarrow.string()),
        ("source", pyarrow.string()),
        ("generator", pyarrow.string()),
        ("split", pyarrow.string()),
        ("position", pyarrow.int8()),
        ("seconds", pyarrow.float64()),
        ("acceptable_slots", pyarrow.int8()),
    ]
)


def _schema(axes: Iterable[str]) -> pyarrow.Schema:
    """The columns where images are rated on these axes: further ones come last."""
    further = [axis for axis in axes if axis not in IMAGEREWARDDB]
    return pyarrow.schema([*SCHEMA, *((column_of(axis, IMAGEREWARDDB), pyarrow.int8()) for axis in further)])


def _row(ranking: ExportedRanking, image: ExportedImage, pack: str | None) -> dict[str, Any]:
    """Args: pack: the name of the zip with the image, without suffix; None when images are left out."""
    category = Category(ranking.category) if ranking.category else None
    return {
        "image_path": f"images/train/{pack}/{image.stored_name}" if pack and image.file else None,
        "prompt_id": ranking.key,
        "prompt": ranking.text,
        "classification": category and CLASSIFICATIONS.get(category, str(category.label)),
        "image_amount_in_total": len(ranking.images),
        "rank": image.slot,
        **{
            column_of(axis, IMAGEREWARDDB): image.points.get(axis) for axis in (*IMAGEREWARDDB, *image.points)
        },
        "problems": image.problems,
        "intent_unclear": ranking.intent_unclear,
        "issues": ranking.issues,
        "annotator": ranking.annotator,
        "source": image.source,
        "generator": image.generator,
        "split": ranking.published_split or None,
        "position": image.position,
        "seconds": ranking.seconds,
        "acceptable_slots": ranking.acceptable_slots,
    }


def _write_part(folder: Path, part: Part) -> None:
    tables = folder / PARTS
    tables.mkdir(exist_ok=True)
    if part.plan.images:
        rows = _write_zip(folder / "images/train" / f"train_{part.number}.zip", part.rankings)
    else:
        rows = [_row(ranking, image, None) for ranking in part.rankings for image in ranking.images]
    table = pyarrow.Table.from_pylist(rows, _schema(part.plan.axes))
    parquet.write_table(table, tables / f"{part.number:06d}.parquet")


def _write_zip(file: Path, rankings: Iterable[ExportedRanking]) -> list[dict[str, Any]]:
    """Write each image once, and NAME.json with the rows of NAME.zip; return the rows."""
    file.parent.mkdir(parents=True, exist_ok=True)
    rows = []
    names: set[str] = set()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as pack:
        for ranking in rankings:
            for image in ranking.images:
                rows.append(_row(ranking, image, file.stem))
                name = image.stored_name
                if name and name not in names:
                    names.add(name)
                    pack.writestr(zipfile.ZipInfo(name, EPOCH), read_image(image))
        listing = "[{}\n]\n".format(",".join(f"\n{as_json(row)}" for row in rows))
        entry = zipfile.ZipInfo(f"{file.stem}.json", EPOCH)
        pack.writestr(entry, listing, compress_type=zipfile.ZIP_DEFLATED)
    return rows


def _join_tables(folder: Path, plan: Plan) -> None:
    """Concatenate the tables of the parts."""
    parts = sorted((folder / PARTS).glob("*.parquet"))
    schema = _schema(plan.axes)
    with parquet.ParquetWriter(folder / FILE, schema, compression="zstd") as table:
        for part in parts:
            table.write_table(parquet.read_table(part, schema=schema))


FORMAT = Format(
    name="imagerewarddb",
    label="ImageRewardDB: parquet, and images in zips",
    data=FILE,
    about="""One row for every image of an opinion, the rows of an opinion together. `rank` is the
slot; ratings are from 1 to 7, null on an axis that the project does not have; an axis that ImageRewardDB does
not have is a last column, its name with `_rating`. `images/train/train_N.zip` has the image of
`images/train/train_N/NAME` as `NAME`, and its rows in `train_N.json`. Beside the columns of ImageRewardDB
there are `problems`, `intent_unclear` and `issues` (empty lists say that there are none, null that it is not
known), the `annotator`, the image's `source` and `generator`, the `split` in which a dataset published the
prompt, null where none did, the image's `position` on the page, from 1, the `seconds` that the opinion took,
absences included, and the `acceptable_slots`: images in slots 1 to that are acceptable, none where it is 0.
All three are null where unknown. All rows are in one file: take those of a `split`, and split the
others by prompt.""",
    write=_write_part,
    finish=_join_tables,
    has_images=True,
)

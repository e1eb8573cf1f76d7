"""ImageRewardDB's files: one table of all images judged, and the images in zips, about 250 prompts each."""

from __future__ import annotations

import shutil
import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pyarrow
from pyarrow import parquet

from annotation.models import Category
from annotation.selectors.exports import ExportedImage, ExportedRanking
from annotation.services.exports.format import PARTS, Format, Plan, as_json
from annotation.services.exports.images import open_image

FILE = "metadata-train.parquet"
EPOCH = (1980, 1, 1, 0, 0, 0)  # the first moment a zip knows: equal rankings give equal bytes
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
        ("overall_rating", pyarrow.int8()),
        ("image_text_alignment_rating", pyarrow.int8()),
        ("fidelity_rating", pyarrow.int8()),
        ("problems", pyarrow.list_(pyarrow.string())),
        ("intent_unclear", pyarrow.bool_()),
        ("issues", pyarrow.list_(pyarrow.string())),
        ("annotator", pyarrow.string()),
        ("source", pyarrow.string()),
        ("generator", pyarrow.string()),
        ("split", pyarrow.string()),
    ]
)


def _row(opinion: ExportedRanking, image: ExportedImage, part: str | None) -> dict[str, Any]:
    """`part` names the zip that has the image; None when images are left out."""
    category = Category(opinion.category) if opinion.category else None
    return {
        "image_path": f"images/train/{part}/{image.stored_name}" if part and image.file else None,
        "prompt_id": opinion.key,
        "prompt": opinion.text,
        "classification": category and CLASSIFICATIONS.get(category, str(category.label)),
        "image_amount_in_total": len(opinion.images),
        "rank": image.slot,
        "overall_rating": image.overall,
        "image_text_alignment_rating": image.alignment,
        "fidelity_rating": image.fidelity,
        "problems": image.problems,
        "intent_unclear": opinion.intent_unclear,
        "issues": opinion.issues,
        "annotator": opinion.annotator,
        "source": image.source,
        "generator": image.generator,
        "split": opinion.published_split or None,
    }


def _write(folder: Path, number: int, rankings: Iterable[ExportedRanking], plan: Plan) -> None:
    part = f"train_{number}" if plan.images else None
    tables = folder / PARTS
    tables.mkdir(exist_ok=True)
    if part is None:
        rows = [_row(opinion, image, part) for opinion in rankings for image in opinion.images]
    else:
        rows = _write_zip(folder / "images/train" / f"{part}.zip", part, rankings)
    parquet.write_table(pyarrow.Table.from_pylist(rows, SCHEMA), tables / f"{number:06d}.parquet")


def _write_zip(file: Path, part: str, rankings: Iterable[ExportedRanking]) -> list[dict[str, Any]]:
    """The images, each once, and PART.json with their rows; returns the rows."""
    file.parent.mkdir(parents=True, exist_ok=True)
    rows = []
    had: set[str] = set()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as pack:
        for opinion in rankings:
            for image in opinion.images:
                rows.append(_row(opinion, image, part))
                name = image.stored_name
                if name and name not in had:
                    had.add(name)
                    with open_image(image) as content, pack.open(zipfile.ZipInfo(name, EPOCH), "w") as out:
                        shutil.copyfileobj(content, out)
        listing = "[{}\n]\n".format(",".join(f"\n{as_json(row)}" for row in rows))
        entry = zipfile.ZipInfo(f"{part}.json", EPOCH)
        pack.writestr(entry, listing, compress_type=zipfile.ZIP_DEFLATED)
    return rows


def _finish(folder: Path, plan: Plan) -> None:
    """Join the tables of the batches, one after another."""
    with parquet.ParquetWriter(folder / FILE, SCHEMA, compression="zstd") as table:
        for part in sorted((folder / PARTS).glob("*.parquet")):
            table.write_table(parquet.read_table(part, schema=SCHEMA))


FORMAT = Format(
    name="imagerewarddb",
    label="ImageRewardDB: parquet, and images in zips",
    data=FILE,
    about="""One row for every image of an opinion, the rows of an opinion together. `rank` is the
slot; ratings are from 1 to 7. `images/train/train_N.zip` has the image of `images/train/train_N/NAME` as
`NAME`, and its rows in `train_N.json`. Beside the columns of ImageRewardDB there are `problems`,
`intent_unclear` and `issues` (empty lists say that there are none, null that it is not known), the
`annotator`, the image's `source` and `generator`, and the `split` in which a dataset published the prompt,
null where none did. All rows are in one file: take those of a `split`, and split the others by prompt.""",
    write=_write,
    finish=_finish,
    has_images=True,
)

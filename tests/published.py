"""A folder as ImageRewardDB is published: one table a split, and the images in zips, 4 prompts each."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator, Mapping, Sequence
from itertools import count
from pathlib import Path
from typing import Any

import pyarrow
from pyarrow import parquet

from tests.cast import picture

PROMPTS_IN_ZIP = 4
COLUMNS = pyarrow.schema(
    [
        *((name, pyarrow.string()) for name in ("image_path", "prompt_id", "prompt", "classification")),
        *((name, pyarrow.int8()) for name in ("image_amount_in_total", "rank", "overall_rating")),
        *((name, pyarrow.int8()) for name in ("image_text_alignment_rating", "fidelity_rating")),
    ]
)


def publish(
    folder: Path,
    splits: Mapping[str, Sequence[str]],
    ranks: Sequence[int] = (1, 2, 2),
    broken: Mapping[tuple[str, int], bytes] | None = None,
) -> Path:
    """Write the dataset; returns its folder.

    Args:
        splits: split -> the texts of its prompts.
        ranks: slots of the images of every prompt.
        broken: (prompt id, which of its images) -> what its file holds instead of a picture. Ids are
            "train-0", "train-1" ... by split.
    """
    shades = count(1)
    for split, texts in splits.items():
        rows: list[dict[str, Any]] = []
        for part, start in enumerate(range(0, len(texts), PROMPTS_IN_ZIP), 1):
            pack = folder / f"images/{split}/{split}_{part}.zip"
            pack.parent.mkdir(parents=True, exist_ok=True)
            with zipfile.ZipFile(pack, "w") as out:
                for number in range(start, min(start + PROMPTS_IN_ZIP, len(texts))):
                    key = f"{split}-{number}"
                    files = _files(shades, len(ranks))
                    for image, (content, rank) in enumerate(zip(files, ranks, strict=True)):
                        name = f"{key}-{image}.webp"
                        out.writestr(name, (broken or {}).get((key, image), content))
                        rows.append(_row(f"images/{split}/{split}_{part}/{name}", key, texts[number], rank))
                        rows[-1]["image_amount_in_total"] = len(ranks)
                out.writestr(f"{split}_{part}.json", "[]")
        parquet.write_table(pyarrow.Table.from_pylist(rows, COLUMNS), folder / f"metadata-{split}.parquet")
    return folder


def _files(shades: Iterator[int], images: int) -> list[bytes]:
    return [picture(next(shades) * 3, "PNG", size=(16, 16)) for _ in range(images)]


def _row(path: str, key: str, text: str, rank: int) -> dict[str, Any]:
    ratings = ("overall_rating", "image_text_alignment_rating", "fidelity_rating")
    return {
        "image_path": path,
        "prompt_id": key,
        "prompt": text,
        "classification": "Outdoor Scenes",
        "rank": rank,
        **dict.fromkeys(ratings, 8 - rank),
    }

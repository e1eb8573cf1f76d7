"""Tables of single images with their pictures, a row an image: the columns that are ours, in each format."""

from __future__ import annotations

from typing import Any

import pyarrow

from annotation.selectors.exports import ExportedImage, ExportedRanking

FIELDS = [
    ("prompt_id", pyarrow.string()),
    ("annotator", pyarrow.string()),
    ("slot", pyarrow.int8()),
    ("generator", pyarrow.string()),
    ("problems", pyarrow.list_(pyarrow.string())),
    ("category", pyarrow.string()),
    ("intent_unclear", pyarrow.bool_()),
    ("issues", pyarrow.list_(pyarrow.string())),
    ("position", pyarrow.int8()),
    ("seconds", pyarrow.float64()),
    ("acceptable_slots", pyarrow.int8()),
]
ABOUT = """there are `prompt_id`, `annotator`, the image's `slot`, its `generator` and `problems`, the labels,
the image's `position` on the page, from 1, the `seconds` that the opinion took, absences included, and the
`acceptable_slots`: images in slots 1 to that are acceptable, none where it is 0; null where unknown."""


def cells(ranking: ExportedRanking, image: ExportedImage) -> dict[str, Any]:
    """Return the image's cells of FIELDS."""
    return {
        "prompt_id": ranking.key,
        "annotator": ranking.annotator,
        "slot": image.slot,
        "generator": image.generator,
        "problems": image.problems,
        "category": ranking.category or None,
        "intent_unclear": ranking.intent_unclear,
        "issues": ranking.issues,
        "position": image.position,
        "seconds": ranking.seconds,
        "acceptable_slots": ranking.acceptable_slots,
    }

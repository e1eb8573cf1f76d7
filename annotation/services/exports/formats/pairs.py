"""Pairs of images, one per line."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from annotation.selectors.exports import ExportedRanking
from annotation.services.exports.formats.format import (
    Format,
    Part,
    as_json,
    by_prompt,
    count_pairs,
)

FILE = "pairs.jsonl"


def _lines(rankings: list[ExportedRanking]) -> Iterator[dict[str, Any]]:
    """Yield the lines of a prompt. Args: rankings: all of one prompt."""
    pairs = count_pairs(rankings)
    for ranking in rankings:
        for a, b in ranking.pairs():
            yield {
                "prompt_id": ranking.key,
                "prompt": ranking.text,
                "image_a": a.source,
                "image_b": b.source,
                "sha256_a": a.sha256,
                "sha256_b": b.sha256,
                "generator_a": a.generator,
                "generator_b": b.generator,
                "slot_a": a.slot,
                "slot_b": b.slot,
                "position_a": a.position,
                "position_b": b.position,
                "better": "tie" if a.slot == b.slot else "a" if a.slot < b.slot else "b",
                "weight": 1 / pairs,
                "annotator": ranking.annotator,
                "seconds": ranking.seconds,
                "acceptable_slots": ranking.acceptable_slots,
            }


def _write_part(folder: Path, part: Part) -> None:
    with (folder / FILE).open("a", encoding="utf-8") as out:
        for rankings in by_prompt(part.rankings):
            out.writelines(f"{as_json(line)}\n" for line in _lines(rankings))


FORMAT = Format(
    name="pairs",
    label="Pairs: a line each, with ties and weights",
    data=FILE,
    about="""One line for every two images of an opinion, ties included. `better` is `a`, `b` or
`tie`. The `weight`s of a prompt's lines sum to 1, so that every prompt counts once however many images
and opinions it has. The positions are where the images stood on the page, from 1; `seconds` is how long the
whole opinion took, absences included; images in slots 1 to `acceptable_slots` are acceptable,
none where it is 0. All are null where unknown. Images are named, not included.""",
    write=_write_part,
    finish=lambda folder, _: (folder / FILE).touch(),
    leaves_out=("ratings", "labels", "problems"),
)

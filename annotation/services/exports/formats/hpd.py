"""HPD v2's JSON: one list with one item per prompt, with each annotator's ranking."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from statistics import fmean
from typing import Any

from annotation.selectors.exports import ExportedRanking
from annotation.services.exports.formats.format import Format, append_to_list, by_images, close_list

FILE = "hpd.json"


def _items(rankings: Iterable[ExportedRanking]) -> Iterator[dict[str, Any]]:
    """Yield one item per set of images."""
    yield from map(_item, by_images(rankings))


def _item(rankings: list[ExportedRanking]) -> dict[str, Any]:
    """`rank` is the rank of the mean slot, from 1; equal means share a rank.

    Source: huggingface.co/datasets/ymhao/HPDv2, test.json. `id` is ours: two prompts may have the same text.
    """
    names = [image.source for image in rankings[0].images]
    slot_of = [{image.source: image.slot for image in ranking.images} for ranking in rankings]
    slots = [[by_name[name] for name in names] for by_name in slot_of]
    means = [fmean(of_image) for of_image in zip(*slots, strict=True)]
    return {
        "id": rankings[0].key,
        "prompt": rankings[0].text,
        "image_path": names,
        "rank": [1 + sum(other < mean for other in means) for mean in means],
        "raw_annotations": [
            {"rank": row, "user_hash": ranking.annotator} | _display(ranking, names)
            for row, ranking in zip(slots, rankings, strict=True)
        ],
    }


def _display(ranking: ExportedRanking, names: list[str]) -> dict[str, Any]:
    """Return the images' positions on the annotator's page, the time taken and the line, as far as known."""
    if not ranking.positions:
        return ranking.known_numbers
    position_of = {image.source: image.position for image in ranking.images}
    return {"positions": [position_of[name] for name in names]} | ranking.known_numbers


FORMAT = Format(
    name="hpd",
    label="HPD v2 JSON",
    data=FILE,
    about="""One item a prompt: each of `raw_annotations` has one annotator's slots of the images of
`image_path`, and where known their `positions` on the annotator's page, from 1, and the `seconds` taken,
absences included, and the `acceptable_slots`: images in slots 1 to that are acceptable; `rank` is the rank of
the mean slots. Images are named, not included.""",
    write=lambda folder, part: append_to_list(folder / FILE, _items(part.rankings)),
    finish=lambda folder, _: close_list(folder / FILE),
    leaves_out=("ratings", "labels", "problems", "generators"),
)

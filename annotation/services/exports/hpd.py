"""HPD v2's JSON: one list, an item a prompt, with what each annotator said."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from statistics import fmean
from typing import Any

from annotation.selectors.exports import ExportedRanking
from annotation.services.exports.format import Format, Plan, append_to_list, by_prompt, close_list

FILE = "hpd.json"


def _items(rankings: Iterable[ExportedRanking]) -> Iterator[dict[str, Any]]:
    """One item for the opinions on the same images of a prompt: images may be added between two opinions."""
    for opinions in by_prompt(rankings):
        alike: dict[frozenset[str], list[ExportedRanking]] = {}
        for opinion in opinions:
            alike.setdefault(frozenset(image.source for image in opinion.images), []).append(opinion)
        yield from (_item(group) for group in alike.values())


def _item(opinions: list[ExportedRanking]) -> dict[str, Any]:
    """`rank` is the rank of the mean slot, from 1; equal means share a rank.

    Source: huggingface.co/datasets/ymhao/HPDv2, test.json. `id` is ours: texts may come twice.
    """
    names = [image.source for image in opinions[0].images]
    said = [{image.source: image.slot for image in opinion.images} for opinion in opinions]
    slots = [[placed[name] for name in names] for placed in said]
    means = [fmean(held) for held in zip(*slots, strict=True)]
    return {
        "id": opinions[0].key,
        "prompt": opinions[0].text,
        "image_path": names,
        "rank": [1 + sum(other < mean for other in means) for mean in means],
        "raw_annotations": [
            {"rank": held, "user_hash": opinion.annotator}
            for held, opinion in zip(slots, opinions, strict=True)
        ],
    }


def _write(folder: Path, number: int, rankings: Iterable[ExportedRanking], plan: Plan) -> None:
    append_to_list(folder / FILE, _items(rankings))


def _finish(folder: Path, plan: Plan) -> None:
    close_list(folder / FILE)


FORMAT = Format(
    name="hpd",
    label="HPD v2 JSON",
    data=FILE,
    about="""One item a prompt: each of `raw_annotations` has one annotator's slots of the images of
`image_path`; `rank` is the rank of their mean. Images are named, not included.""",
    write=_write,
    finish=_finish,
)

"""HPD v3's JSON: one list with an item for every two images of an opinion, the preferred one first."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from annotation.selectors.exports import ExportedRanking
from annotation.services.exports.formats.format import (
    Format,
    Part,
    append_to_list,
    by_prompt,
    close_list,
    store_image,
)

FILE = "hpdv3.json"


def _items(rankings: Iterable[ExportedRanking], paths: dict[str, str | None]) -> Iterator[dict[str, Any]]:
    """Yield HPD v3's fields, then ours.

    `choice_dist` are the votes of the export's opinions on these two images; `confidence`, which their
    authors compute from the annotators' reliability, is not ours to give.

    Args: rankings: all of one prompt; paths: of the images in the export, by source.
    Source: github.com/MizzenAI/HPSv3, README, "Annotation Format".
    """
    rankings = list(rankings)
    votes = Counter(
        (better.source, worse.source)
        for ranking in rankings
        for a, b in ranking.pairs()
        if a.slot != b.slot
        for better, worse in [(a, b) if a.slot < b.slot else (b, a)]
    )
    for ranking in rankings:
        for a, b in ranking.pairs():
            if a.slot == b.slot:
                continue
            better, worse = (a, b) if a.slot < b.slot else (b, a)
            pair = better.source, worse.source
            yield {
                "prompt": ranking.text,
                "choice_dist": [votes[pair], votes[pair[::-1]]],
                "confidence": None,
                "path1": paths.get(better.source) or better.source,
                "path2": paths.get(worse.source) or worse.source,
                "model1": better.generator,
                "model2": worse.generator,
                "prompt_id": ranking.key,
                "annotator": ranking.annotator,
                "source1": better.source,
                "source2": worse.source,
                "has_file1": bool(paths.get(better.source)),
                "has_file2": bool(paths.get(worse.source)),
                "slot1": better.slot,
                "slot2": worse.slot,
                "position1": better.position,
                "position2": worse.position,
                "seconds": ranking.seconds,
                "acceptable_slots": ranking.acceptable_slots,
            }


def _write_part(folder: Path, part: Part) -> None:
    for rankings in by_prompt(part.rankings):
        images = [image for ranking in rankings for image in ranking.images] if part.plan.images else []
        paths = {image.source: store_image(folder, image) for image in images}
        append_to_list(folder / FILE, _items(rankings, paths))


FORMAT = Format(
    name="hpdv3",
    label="HPD v3 JSON: pairs, the preferred image first",
    data=FILE,
    about="""One item for every two images that an opinion puts into different slots: `path1` is the
preferred one, `choice_dist` how many of the opinions here prefer the one and the other; `confidence` is null.
Beside HPD v3's fields there are `prompt_id`, `annotator`, the images' `source`s, `slot`s and `position`s on
the page, from 1, whether the path is one of a file here, the `seconds` that the opinion took, absences
included, and the `acceptable_slots`: images in slots 1 to that are acceptable; null where unknown.""",
    write=_write_part,
    finish=lambda folder, _: close_list(folder / FILE),
    has_images=True,
    leaves_out=("ratings", "labels", "problems", "opinions in which all images tie"),
)

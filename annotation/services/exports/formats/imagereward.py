"""ImageReward's JSON: one list with one item per ranking."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from annotation.selectors.exports import ExportedRanking, Selection, batches, extent
from annotation.services.exports.formats.format import (
    Format,
    Part,
    append_to_list,
    as_json,
    close_list,
)

FILE = "imagereward.json"


def item(ranking: ExportedRanking, *, several: bool) -> dict[str, Any]:
    """Return id, prompt, generations and ranking; and the annotator where some prompt has several rankings.

    The images' positions on the page, the seconds taken and the acceptable slots are ours: where known.

    Source: github.com/THUDM/ImageReward, data/test.json.
    """
    fields = {
        "id": ranking.key,
        "prompt": ranking.text,
        "generations": [image.source for image in ranking.images],
        "ranking": ranking.slots,
    }
    if several:
        fields["annotator"] = ranking.annotator
    if ranking.positions:
        fields["positions"] = ranking.positions
    return fields | ranking.known_numbers


def stream(selection: Selection) -> Iterator[str]:
    """Yield the whole list as pieces of JSON, one ranking at a time."""
    several = extent(selection).most_per_prompt > 1
    lead = "["
    for batch in batches(selection):
        for ranking in batch.rankings:
            yield f"{lead}\n{as_json(item(ranking, several=several))}"
            lead = ","
    yield "[]\n" if lead == "[" else "\n]\n"


def _write_part(folder: Path, part: Part) -> None:
    append_to_list(folder / FILE, (item(ranking, several=part.plan.several) for ranking in part.rankings))


FORMAT = Format(
    name="imagereward",
    label="ImageReward JSON",
    data=FILE,
    about="""One item an opinion: `ranking[i]` is the slot of `generations[i]`. An `annotator` is
given where some prompt has several opinions. Where known, `positions[i]` is where `generations[i]` stood on
the page, from 1, and `seconds` is how long the opinion took, absences included; images in slots
1 to `acceptable_slots` are acceptable, none where it is 0. Images are named, not included.""",
    write=_write_part,
    finish=lambda folder, _: close_list(folder / FILE),
    leaves_out=("ratings", "labels", "problems", "generators"),
)

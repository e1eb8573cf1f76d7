"""ImageReward's JSON: one list, an item an opinion."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from annotation.selectors.exports import ExportedRanking, Selection, batches, extent
from annotation.services.exports.format import Format, Plan, append_to_list, as_json, close_list

FILE = "imagereward.json"


def item(ranking: ExportedRanking, *, several: bool) -> dict[str, Any]:
    """id, prompt, generations, ranking; and the annotator where a prompt has several opinions.

    Source: github.com/THUDM/ImageReward, data/test.json.
    """
    fields = {
        "id": ranking.key,
        "prompt": ranking.text,
        "generations": [image.source for image in ranking.images],
        "ranking": ranking.slots,
    }
    return fields | {"annotator": ranking.annotator} if several else fields


def stream(selection: Selection) -> Iterator[str]:
    """The whole list in pieces, as they come."""
    several = extent(selection).most_opinions > 1
    lead = "["
    for batch in batches(selection):
        for ranking in batch.rankings:
            yield f"{lead}\n{as_json(item(ranking, several=several))}"
            lead = ","
    yield "[]\n" if lead == "[" else "\n]\n"


def _write(folder: Path, number: int, rankings: Iterable[ExportedRanking], plan: Plan) -> None:
    append_to_list(folder / FILE, (item(ranking, several=plan.several) for ranking in rankings))


def _finish(folder: Path, plan: Plan) -> None:
    close_list(folder / FILE)


FORMAT = Format(
    name="imagereward",
    label="ImageReward JSON",
    data=FILE,
    about="""One item an opinion: `ranking[i]` is the slot of `generations[i]`. An `annotator` is
given where some prompt has several opinions. Images are named, not included.""",
    write=_write,
    finish=_finish,
)

"""Finished rankings in the formats that others read."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any

from annotation.models import Project
from annotation.selectors.preferences import finished_rankings


def export_imagereward(project: Project) -> Iterator[dict[str, Any]]:
    """The items of ImageReward's train.json and test.json, one an opinion: id, prompt, generations, ranking.

    Source: github.com/THUDM/ImageReward, data/test.json.
    """
    for finished in finished_rankings(project):
        yield {
            "id": finished.prompt_key,
            "prompt": finished.prompt_text,
            "generations": [image.source for image in finished.images],
            "ranking": list(finished.slots),
        }


def as_json_list(items: Iterable[dict[str, Any]]) -> Iterator[str]:
    """The items as one JSON list, an item a line, in pieces as they come."""
    lead = "["
    for item in items:
        yield f"{lead}\n{json.dumps(item, ensure_ascii=False)}"
        lead = ","
    yield "[]\n" if lead == "[" else "\n]\n"

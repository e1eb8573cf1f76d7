"""When two user names look alike: compared by the skeleton of Unicode Technical Standard 39."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Mapping
from functools import cache
from importlib.resources import files

SKELETON_LENGTH = 600  # of a name of 150 characters, some of which look like several letters


def skeleton(name: str) -> str:
    """Return what the name looks like: names with equal skeletons cannot be told apart by eye.

    Letters are folded first, so that `ANNA` and `anna` are one name too.
    Source: UTS 39, section 4, with the data of confusables.txt; folding as UTR 36 advises for identifiers.
    """
    folded = unicodedata.normalize("NFKC", name).strip().casefold()
    prototypes = _prototypes()
    mapped = "".join(prototypes.get(letter, letter) for letter in unicodedata.normalize("NFD", folded))
    return unicodedata.normalize("NFD", mapped).casefold()[:SKELETON_LENGTH]


@cache
def _prototypes() -> Mapping[str, str]:
    """Return what each confusable character is written as: the middle of the star of those that look like it.

    The package lists neighbours both ways, and wraps letters of right-to-left scripts in marks of direction.
    """
    source = files("confusable_homoglyphs").joinpath("confusables.json").read_text(encoding="utf-8")
    stars: dict[str, set[str]] = {}
    for letter, alike in json.loads(source).items():
        stars.setdefault(_bare(letter), set()).update(_bare(other["c"]) for other in alike)

    def centrality(letter: str) -> tuple[int, int, str]:
        return len(stars.get(letter, ())), len(letter), letter

    return {
        letter: max({letter, *alike}, key=centrality) for letter, alike in stars.items() if len(letter) == 1
    }


def _bare(letter: str) -> str:
    return letter.strip("\u200e\u200f")

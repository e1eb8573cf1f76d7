"""Drop duplicate prompts before selection: the graph would take copies for a popular prompt."""

from __future__ import annotations

import math
import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

# Words, and each sign beyond ASCII on its own: an emoji may be all that a prompt is about.
WORD = re.compile(r"\w+|[^\w\s\x00-\x7f]")
ROUNDING = 1e-9  # a share of exactly the threshold counts, however it is rounded


@dataclass(frozen=True)
class Distinct:
    """`kept`: positions of the texts that repeat none before them, ascending; the others were dropped."""

    kept: list[int]
    exact: int
    near: int


def drop_duplicates(texts: Sequence[str], *, threshold: float) -> Distinct:
    """Of texts that are equal but for case and spaces, and of nearly equal ones, keep the first.

    Args: threshold: `word_pairs` shared by two texts, as a share of those in either (Jaccard index).
    """
    first: dict[str, int] = {}
    for position, text in enumerate(texts):
        first.setdefault(normalised(text), position)
    candidates = list(first.values())
    repeats = near_duplicates([texts[position] for position in candidates], threshold=threshold)
    return Distinct(
        kept=[position for number, position in enumerate(candidates) if number not in repeats],
        exact=len(texts) - len(candidates),
        near=len(repeats),
    )


def near_duplicates(texts: Sequence[str], *, threshold: float) -> dict[int, int]:
    """Positions of texts that nearly repeat an earlier one that is kept -> position of the first such.

    Exact, and quick where most texts differ: two sets that share enough must share one of their rarest few
    members, so only texts that do are compared.
    Source: Bayardo, Ma and Srikant, Scaling up all pairs similarity search (2007): prefix filtering.
    """
    sets = _ranked_sets(texts)
    repeats: dict[int, int] = {}
    kept_with: dict[int, list[int]] = defaultdict(list)  # a rare member -> kept texts that have it
    for position, members in enumerate(sets):
        ordered = sorted(members)  # the rarest first
        rarest = ordered[: len(members) - math.ceil(threshold * len(members) - ROUNDING) + 1]
        candidates = {other for member in rarest for other in kept_with.get(member, ())}
        twins = [other for other in candidates if _jaccard(members, sets[other]) >= threshold - ROUNDING]
        if twins:
            repeats[position] = min(twins)
            continue
        for member in rarest:
            kept_with[member].append(position)
    return repeats


def normalised(text: str) -> str:
    """Normalise case, white space and Unicode composition."""
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


def word_pairs(text: str) -> frozenset[tuple[str, str]]:
    """Each word with the one before it: punctuation does not count, order does. Never empty."""
    plain = normalised(text)
    words = WORD.findall(plain) or [plain]
    return frozenset(zip(["", *words], words, strict=False))


def _ranked_sets(texts: Sequence[str]) -> list[frozenset[int]]:
    """The word pairs of each text as numbers, the rarest pair of all texts being 0."""
    pairs = [word_pairs(text) for text in texts]
    frequency = Counter(pair for text_pairs in pairs for pair in text_pairs)
    rank = {pair: number for number, pair in enumerate(sorted(frequency, key=lambda p: (frequency[p], p)))}
    return [frozenset(rank[pair] for pair in text_pairs) for text_pairs in pairs]


def _jaccard(a: frozenset[int], b: frozenset[int]) -> float:
    shared = len(a & b)
    return shared / (len(a) + len(b) - shared)

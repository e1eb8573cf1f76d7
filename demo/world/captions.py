"""The captions of the small world, and the purpose that each is reserved for.

"a red circle", "two red circles", "a red circle left of an orange square on a white background".
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import StrEnum
from itertools import permutations, product
from random import Random

COLOURS = ("red", "green", "blue", "yellow", "purple", "orange")
SHAPES = ("circle", "square", "triangle", "cross")
RELATIONS = ("left of", "right of", "above", "below")
BACKGROUNDS = ("white", "gray", "black")
STATED_BACKGROUND = 0.4
WORD_IS_WRONG = 0.2


class Kind(StrEnum):
    ALONE = "alone"
    TWINS = "twins"
    RELATED = "related"


KINDS = {Kind.ALONE: 0.4, Kind.TWINS: 0.1, Kind.RELATED: 0.5}


class Split(StrEnum):
    """What a caption may be used for; no caption has two uses."""

    GENERATOR = "generator"
    RANKING = "ranking"
    TUNING = "tuning"
    EVALUATION = "evaluation"


SPLIT_SHARES = {Split.GENERATOR: 0.4, Split.RANKING: 0.3, Split.TUNING: 0.15, Split.EVALUATION: 0.15}


class NotACaption(ValueError):
    """The text is not a caption of the small world."""


@dataclass(frozen=True)
class Noun:
    """One thing as a caption names it."""

    colour: str
    shape: str

    def __str__(self) -> str:
        article = "an" if self.colour[0] in "aeiou" else "a"
        return f"{article} {self.colour} {self.shape}"


@dataclass(frozen=True)
class Statement:
    """All that a caption states. Twins are two equal nouns with no relation; background None is unstated."""

    nouns: tuple[Noun, ...]
    relation: str | None = None
    background: str | None = None

    @property
    def kind(self) -> Kind:
        if len(self.nouns) == 1:
            return Kind.ALONE
        return Kind.RELATED if self.relation else Kind.TWINS

    def __str__(self) -> str:
        if self.kind is Kind.TWINS:
            text = f"two {self.nouns[0].colour} {plural(self.nouns[0].shape)}"
        else:
            text = f" {self.relation} ".join(str(noun) for noun in self.nouns)
        return f"{text} on a {self.background} background" if self.background else text


def plural(shape: str) -> str:
    return f"{shape}es" if shape.endswith("s") else f"{shape}s"


def every_statement() -> Iterator[Statement]:
    """Each of the 9,024 things a caption can state, once."""
    nouns = [Noun(colour, shape) for colour, shape in product(COLOURS, SHAPES)]
    for background in (None, *BACKGROUNDS):
        for noun in nouns:
            yield Statement((noun,), None, background)
            yield Statement((noun, noun), None, background)
        for pair, relation in product(permutations(nouns, 2), RELATIONS):
            yield Statement(pair, relation, background)


_STATEMENTS = {str(statement): statement for statement in every_statement()}


def parse(caption: str) -> Statement:
    """Return what the caption states. Raises NotACaption."""
    try:
        return _STATEMENTS[caption]
    except KeyError:
        raise NotACaption(caption) from None


def random_statement(generator: Random) -> Statement:
    """A statement with the kinds and backgrounds in the world's proportions."""
    kind = generator.choices(list(KINDS), list(KINDS.values()))[0]
    first = _random_noun(generator)
    background = generator.choice(BACKGROUNDS) if generator.random() < STATED_BACKGROUND else None
    if kind is Kind.ALONE:
        return Statement((first,), None, background)
    if kind is Kind.TWINS:
        return Statement((first, first), None, background)
    second = first
    while second == first:
        second = _random_noun(generator)
    return Statement((first, second), generator.choice(RELATIONS), background)


def _random_noun(generator: Random) -> Noun:
    return Noun(generator.choice(COLOURS), generator.choice(SHAPES))


def misstate(statement: Statement, generator: Random, wrong: float = WORD_IS_WRONG) -> Statement:
    """The statement with each of its attributes replaced by a wrong one with probability `wrong`.

    The count of a thing alone or of twins is an attribute too. A background that is not stated stays so.
    """

    def other(word: str, words: tuple[str, ...]) -> str:
        if generator.random() >= wrong:
            return word
        return generator.choice([each for each in words if each != word])

    def noun_like(noun: Noun) -> Noun:
        return Noun(other(noun.colour, COLOURS), other(noun.shape, SHAPES))

    background = statement.background and other(statement.background, BACKGROUNDS)
    if statement.kind is not Kind.RELATED:
        noun = noun_like(statement.nouns[0])
        count = len(statement.nouns) if generator.random() >= wrong else 3 - len(statement.nouns)
        return Statement((noun,) * count, None, background)
    relation = other(statement.relation or "", RELATIONS)
    nouns = tuple(noun_like(noun) for noun in statement.nouns)
    while nouns[0] == nouns[1]:  # no caption says "a red circle left of a red circle"
        nouns = tuple(noun_like(noun) for noun in statement.nouns)
    return replace(statement, nouns=nouns, relation=relation, background=background)


def split_of(caption: str) -> Split:
    """Return the split of a caption: a hash of its text decides, so it is the same on every machine."""
    draw = int.from_bytes(hashlib.sha256(caption.encode()).digest()[:8]) / 2**64
    for split, share in SPLIT_SHARES.items():
        draw -= share
        if draw < 0:
            return split
    return Split.EVALUATION


def random_caption(split: Split, generator: Random) -> str:
    """One caption of the split, kinds in the world's proportions; captions repeat."""
    while True:
        caption = str(random_statement(generator))
        if split_of(caption) is split:
            return caption


def draw_captions(split: Split, count: int, generator: Random) -> list[str]:
    """`count` different captions of the split, kinds in the world's proportions while they last.

    There are few captions of a single thing or of twins (14 to 38 of each in a split), so long draws consist
    mostly of related pairs.

    Raises: ValueError when the split has fewer captions.
    """
    left: dict[Kind, list[str]] = {kind: [] for kind in Kind}
    for caption, statement in _STATEMENTS.items():
        if split_of(caption) is split:
            left[statement.kind].append(caption)
    if count > sum(map(len, left.values())):
        raise ValueError(f"{split} has no {count} captions")
    drawn: list[str] = []
    while len(drawn) < count:
        kinds = [kind for kind in Kind if left[kind]]
        pool = left[generator.choices(kinds, [KINDS[kind] for kind in kinds])[0]]
        drawn.append(pool.pop(generator.randrange(len(pool))))
    return drawn

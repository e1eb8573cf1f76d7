"""The oracle: how good a picture really is, for its caption, for a taste, and as a clean picture.

It also says which words of the caption a picture shows, and what is wrong with how it is drawn. It is the
small world's truth. Simulated annotators see it through noise and studies are measured by it; nothing is
ever trained on it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import permutations
from math import pi, sqrt

import numpy as np
from PIL import Image

from demo.world.captions import Kind, Noun, Statement, parse, plural
from demo.world.scenes import ALONE_RADII, BACKGROUND_RGB, PAIR_RADII, SIDE
from demo.world.segments import Floats, Seen, View, erode, look

# Alignment weighs most; a taste that is worth giving up a stated attribute for would be no taste.
ALIGNMENT, TASTE, CLEANLINESS = 0.5, 0.3, 0.2
PLAIN = 0.3  # of a fault: it takes a quarter of the cleanliness, and nobody overlooks it
RIGHT = 0.95  # alignment from which a picture shows its caption: nothing stated is missing or wrong


class Flaw(StrEnum):
    """What can be wrong with how a picture is drawn, whatever it should show."""

    REPEATED = "repeated"  # more things than are named, specks, or a texture where all should be flat
    BROKEN = "broken"  # a thing that is missing, or not of any shape
    BLURRED = "blurred"


@dataclass(frozen=True)
class Verdict:
    """Each part in 0..1, higher is better."""

    alignment: float
    taste: float
    cleanliness: float

    @property
    def score(self) -> float:
        return ALIGNMENT * self.alignment + TASTE * self.taste + CLEANLINESS * self.cleanliness

    @property
    def is_right(self) -> bool:
        """The picture shows all that the caption states."""
        return self.alignment >= RIGHT


@dataclass(frozen=True)
class Examination:
    """All that the oracle sees in a picture for its caption.

    Attributes:
        severity: of each flaw, 0 for none; at 1 nobody overlooks it.
        words: the caption's words in order, each with whether the picture shows it.
        surplus: how many things there are beyond those named; negative when some are missing.
    """

    verdict: Verdict
    severity: dict[Flaw, float]
    words: tuple[tuple[str, bool], ...]
    surplus: int


def judge(image: Image.Image, caption: str) -> Verdict:
    """What the picture is worth for the caption. Raises NotACaption."""
    return _verdict(look(image), parse(caption))


def judge_groups(captions: Sequence[str], groups: Iterable[Sequence[Image.Image]]) -> list[list[Verdict]]:
    """What each picture of group i is worth for caption i. Raises NotACaption."""
    return [
        [judge(image, caption) for image in images] for caption, images in zip(captions, groups, strict=True)
    ]


def examine(image: Image.Image, caption: str) -> Examination:
    """The verdict, the flaws, and which of the caption's words are shown. Raises NotACaption."""
    view, statement = look(image), parse(caption)
    surplus = len(view.things) - len(statement.nouns)
    return Examination(_verdict(view, statement), _severity(view, surplus), _words(view, statement), surplus)


def _verdict(view: View, statement: Statement) -> Verdict:
    return Verdict(_alignment(view, statement), _taste(view, statement), _cleanliness(view))


def _alignment(view: View, statement: Statement) -> float:
    """The share of what is stated that the picture shows: things, count, relation, background."""
    parts = [(0.65, _things_right(view, statement)), (0.15, _count_right(view, statement))]
    if statement.relation:
        parts.append((0.2, _relation_right(view, statement)))
    if statement.background:
        parts.append((0.2, _background_right(view, statement.background)))
    return sum(weight * part for weight, part in parts) / sum(weight for weight, _ in parts)


def _resemblance(seen: Seen, noun: Noun) -> float:
    """Half for the colour, half for the shape; a shape badly drawn counts less."""
    drawn = min(max((seen.fit - 0.55) / 0.25, 0.0), 1.0)
    return 0.5 * (seen.colour == noun.colour) + 0.5 * (seen.shape == noun.shape) * drawn


def _assignment(view: View, statement: Statement) -> tuple[Seen | None, ...]:
    """The thing that each noun stands for: of all assignments the one that makes most nouns right."""
    count = len(statement.nouns)
    candidates: list[Seen | None] = [*view.things[:4], *[None] * count]

    def right(chosen: tuple[Seen | None, ...]) -> float:
        resemblance = sum(_resemblance(s, noun) for s, noun in zip(chosen, statement.nouns, strict=True) if s)
        return resemblance + 0.01 * sum(s is not None for s in chosen) + 0.001 * _in_order(chosen, statement)

    return max(permutations(candidates, count), key=right)


def _things_right(view: View, statement: Statement) -> float:
    chosen = _assignment(view, statement)
    right = [_resemblance(s, noun) if s else 0.0 for s, noun in zip(chosen, statement.nouns, strict=True)]
    return sum(right) / len(right)


def _count_right(view: View, statement: Statement) -> float:
    return max(0.0, 1 - abs(len(view.things) - len(statement.nouns)))


def _relation_right(view: View, statement: Statement) -> float:
    return float(_in_order(_assignment(view, statement), statement))


def _in_order(chosen: tuple[Seen | None, ...], statement: Statement) -> bool:
    """Whether the first thing lies where the statement says, and lies there more than anywhere else."""
    if statement.relation is None or len(chosen) != 2 or chosen[0] is None or chosen[1] is None:
        return False
    (x0, y0), (x1, y1) = chosen[0].centre, chosen[1].centre
    right, down = x1 - x0, y1 - y0
    toward = {"left of": right, "right of": -right, "above": down, "below": -down}[statement.relation]
    return toward >= max(abs(right), abs(down), 1.0)


def _words(view: View, statement: Statement) -> tuple[tuple[str, bool], ...]:
    """The caption's words, each with whether it is shown; words that state nothing go with their noun."""
    chosen = _assignment(view, statement)
    words: list[tuple[str, bool]] = []
    if statement.kind is Kind.TWINS:
        noun = statement.nouns[0]
        colours = all(s is not None and s.colour == noun.colour for s in chosen)
        shapes = all(s is not None and _shape_right(s, noun) for s in chosen)
        words += [("two", len(view.things) == 2), (noun.colour, colours), (plural(noun.shape), shapes)]
    else:
        for s, noun in zip(chosen, statement.nouns, strict=True):
            article = str(noun).split()[0]
            words += [
                (article, s is not None),
                (noun.colour, s is not None and s.colour == noun.colour),
                (noun.shape, s is not None and _shape_right(s, noun)),
            ]
    if statement.relation:
        in_order = _in_order(chosen, statement)
        words[3:3] = [(word, in_order) for word in statement.relation.split()]
    if statement.background:
        right = _background_right(view, statement.background) > 0.5
        words += [(word, right) for word in ("on", "a", statement.background, "background")]
    return tuple(words)


def _shape_right(seen: Seen, noun: Noun) -> bool:
    """Whether it is the shape, drawn well enough to be named: the middle of what `_resemblance` grades."""
    return seen.shape == noun.shape and seen.fit > 0.675


def _background_right(view: View, background: str) -> float:
    """1 near the stated colour, falling to 0 at a quarter of the RGB cube's edge."""
    distance = float(np.abs(view.background - BACKGROUND_RGB[background]).max())
    return 1 - min(max((distance - 24) / 40, 0.0), 1.0)


def _taste(view: View, statement: Statement) -> float:
    """What no caption tells: large things, in the middle, and where no background is stated a light one."""
    parts = [(0.4, _largeness(view, statement)), (0.25, _centredness(view, statement))]
    if statement.background is None:
        parts.append((0.35, float(view.background.mean()) / 255))
    return sum(weight * part for weight, part in parts) / sum(weight for weight, _ in parts)


def _largeness(view: View, statement: Statement) -> float:
    """From 0 for the smallest to 1 for the largest scenes of this kind."""
    if not view.things:
        return 0.0
    smallest, *_, largest = ALONE_RADII if statement.kind is Kind.ALONE else PAIR_RADII
    areas = [thing.area for thing in view.things[: len(statement.nouns)]]
    radius = sqrt(sum(areas) / len(statement.nouns) / pi)
    return min(max((radius - smallest) / (largest - smallest), 0.0), 1.0)


def _centredness(view: View, statement: Statement) -> float:
    """1 when the things together are centred, 0 from a quarter of the side away.

    Only as many count as are named: else one more in the opposite corner would centre a picture.
    """
    if not view.things:
        return 0.0
    boxes = np.array([thing.box for thing in view.things[: len(statement.nouns)]])
    x, y = (boxes[:, :2].min(0) + boxes[:, 2:].max(0)) / 2
    return 1 - min(float(np.hypot(x - SIDE / 2, y - SIDE / 2)) / (SIDE / 4), 1.0)


def _cleanliness(view: View) -> float:
    """1 for flat areas, sharp edges and no dirt; texture, blur, ragged outlines and specks lower it."""
    faults = _texture(view) + _softness(view) + _specks(view) + _raggedness(view)
    return float(np.exp(-faults))


def _severity(view: View, surplus: int) -> dict[Flaw, float]:
    """Each flaw, 1 where nobody overlooks it: every thing too many or missing is such a flaw."""
    softness = _softness(view)
    worst = max((_misshape(thing.fit) for thing in view.things), default=0.0)
    texture = max(_texture(view) - 2 * softness, 0)  # smeared rims reach into what should be flat
    return {
        Flaw.REPEATED: (texture + _specks(view)) / PLAIN + max(surplus, 0),
        Flaw.BROKEN: worst / PLAIN + max(-surplus, 0),
        Flaw.BLURRED: softness / PLAIN,
    }


def _texture(view: View) -> float:
    return _roughness(view) / 12


def _softness(view: View) -> float:
    return max(_blur(view) - 0.28, 0) * 2


def _specks(view: View) -> float:
    return _dirt(view) * 20


def _raggedness(view: View) -> float:
    return _misshape(float(np.mean([thing.fit for thing in view.things])) if view.things else 0.0)


def _misshape(fit: float) -> float:
    return max(1 - fit - 0.15, 0) * 2


def _flat_areas(view: View) -> list[tuple[np.ndarray[tuple[int, ...], np.dtype[np.bool_]], Floats]]:
    """Where nothing should change, two pixels from any edge, each with the colour that it should have."""
    things = [thing.mask for thing in view.things]
    free = ~np.any(things, axis=0) if things else np.ones((SIDE, SIDE), dtype=bool)
    areas = [(erode(free, 2), view.background)]
    for mask in things:
        inside = erode(mask, 2)
        if inside.any():
            areas.append((inside, np.median(view.pixels[inside], axis=0)))
    return areas


def _roughness(view: View) -> float:
    """Root mean square distance from the flat colour, in RGB units, mean over background and things."""
    return float(
        np.mean(
            [
                np.sqrt(((view.pixels[area] - colour) ** 2).mean()) if area.any() else 0.0
                for area, colour in _flat_areas(view)
            ]
        )
    )


def _blur(view: View) -> float:
    """The share of pixels along edges that have neither side's colour."""
    shares = []
    for thing in view.things:
        colour = np.median(view.pixels[thing.mask], axis=0)
        near = ~erode(~thing.mask) & ~erode(thing.mask, 2)  # one pixel outside and two inside the outline
        along = np.clip(
            ((view.pixels[near] - view.background) @ (colour - view.background))
            / max(float(((colour - view.background) ** 2).sum()), 1.0),
            0,
            1,
        )
        shares.append(float(((along > 0.25) & (along < 0.75)).mean()))
    return float(np.mean(shares)) if shares else 1.0


def _dirt(view: View) -> float:
    """The share of pixels outside all things and their rims that do not have the background's colour."""
    things = [~erode(~thing.mask, 2) for thing in view.things]
    free = ~np.any(things, axis=0) if things else np.ones((SIDE, SIDE), dtype=bool)
    off = np.abs(view.pixels - view.background).max(axis=2) > 30
    return float((off & free).mean())

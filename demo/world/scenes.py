"""Captioned scenes: one or two plain things on a plain background, 64 x 64 px.

What a caption leaves open (size, place, the background when it is not stated) varies widely, because that is
where a taste can live which no caption tells.
"""

from __future__ import annotations

import colorsys
from collections.abc import Sequence
from dataclasses import dataclass
from math import pi, sqrt
from random import Random

from PIL import Image, ImageDraw

from demo.world.captions import Kind, Noun, Statement, random_statement

SIDE = 64  # px
SUPERSAMPLING = 3
# Few sizes, and places on a grid: what a small generator can learn to draw crisply in minutes.
ALONE_RADII = (9, 13, 17)  # px
PAIR_RADII = (7, 9, 11)
SPOTS = range(8, SIDE, 8)  # px, of centres
FEW_SPOTS = range(16, SIDE, 16)  # px
MARGIN = 2.0  # px kept free along the border
GAP = 3.0  # px between two things
TINT = 0.16  # saturation of a background that is not stated, at most

RGB = tuple[int, int, int]
PALETTE: dict[str, RGB] = {
    "red": (220, 40, 40),
    "green": (40, 160, 60),
    "blue": (50, 80, 220),
    "yellow": (240, 210, 40),
    "purple": (140, 60, 180),
    "orange": (245, 140, 30),
}
BACKGROUND_RGB: dict[str, RGB] = {"white": (250, 250, 250), "gray": (128, 128, 128), "black": (10, 10, 10)}

# Corners in radii; all shapes of one radius have nearly the circle's area.
OUTLINES: dict[str, list[tuple[float, float]]] = {
    "square": [(x * sqrt(pi) / 2, y * sqrt(pi) / 2) for x, y in ((-1, -1), (1, -1), (1, 1), (-1, 1))],
    "triangle": [(0, -1.125), (1.3, 1.125), (-1.3, 1.125)],
    "cross": [
        *((-0.42, -1.15), (0.42, -1.15), (0.42, -0.42), (1.15, -0.42), (1.15, 0.42), (0.42, 0.42)),
        *((0.42, 1.15), (-0.42, 1.15), (-0.42, 0.42), (-1.15, 0.42), (-1.15, -0.42), (-0.42, -0.42)),
    ],
}
REACH = {"circle": (1.0, 1.0), "square": (0.887, 0.887), "triangle": (1.3, 1.125), "cross": (1.15, 1.15)}


@dataclass(frozen=True)
class Thing:
    """One thing; radius and centre in px, y downwards."""

    colour: str
    shape: str
    radius: float
    x: float
    y: float

    def reach(self, axis: int) -> float:
        """Half its extent along x (0) or y (1), in px."""
        return self.radius * REACH[self.shape][axis]


@dataclass(frozen=True)
class Scene:
    """A picture before it is drawn: what its caption states, and all that it does not."""

    statement: Statement
    things: tuple[Thing, ...]
    background: RGB


def caption(scene: Scene) -> str:
    return str(scene.statement)


def random_scene(generator: Random, *, spots: Sequence[int] = SPOTS) -> Scene:
    return scene_of(random_statement(generator), generator, spots=spots)


def scene_of(statement: Statement, generator: Random, *, spots: Sequence[int] = SPOTS) -> Scene:
    """A scene that the statement is true of; everything it leaves open is drawn at random.

    Args: spots: where centres can lie along each axis, in px.
    """
    background = (
        BACKGROUND_RGB[statement.background] if statement.background else _unstated_background(generator)
    )
    if statement.kind is Kind.ALONE:
        return Scene(statement, (_thing_alone(statement.nouns[0], generator, spots),), background)
    axis = generator.randrange(2) if statement.relation is None else _axis(statement.relation)
    while (pair := _pair(statement, axis, generator, spots)) is None:
        pass
    return Scene(statement, pair, background)


def _unstated_background(generator: Random) -> RGB:
    """Any lightness, from none to a slight tint of any hue."""
    tinted = colorsys.hsv_to_rgb(
        generator.random(), generator.uniform(0, TINT), generator.uniform(0.04, 0.98)
    )
    red, green, blue = (round(255 * channel) for channel in tinted)
    return red, green, blue


def _thing_alone(noun: Noun, generator: Random, spots: Sequence[int]) -> Thing:
    radius = generator.choice(ALONE_RADII)
    x, y = (generator.choice(_within(spots, radius * reach)) for reach in REACH[noun.shape])
    return Thing(noun.colour, noun.shape, radius, x, y)


def _within(spots: Sequence[int], reach: float) -> list[int]:
    """Where along an axis a thing that reaches so far can stand."""
    return [spot for spot in spots if MARGIN + reach <= spot <= SIDE - MARGIN - reach]


def _axis(relation: str) -> int:
    """0 when the relation is about x, 1 when it is about y."""
    return 0 if relation in ("left of", "right of") else 1


def _pair(
    statement: Statement, axis: int, generator: Random, spots: Sequence[int]
) -> tuple[Thing, ...] | None:
    """Two things of one size in line along the axis; None when that size does not fit side by side."""
    radius = generator.choice(PAIR_RADII)
    nouns = statement.nouns if statement.relation in ("left of", "above", None) else statement.nouns[::-1]
    along = [REACH[noun.shape][axis] * radius for noun in nouns]
    across = max(REACH[noun.shape][1 - axis] * radius for noun in nouns)
    apart = sum(along) + GAP
    ways = [(a, b) for a in _within(spots, along[0]) for b in _within(spots, along[1]) if b - a >= apart]
    if not ways:
        return None
    level = generator.choice(_within(spots, across))
    things = []
    for noun, place in zip(nouns, generator.choice(ways), strict=True):
        x, y = (place, level) if axis == 0 else (level, place)
        things.append(Thing(noun.colour, noun.shape, radius, x, y))
    return tuple(things) if nouns is statement.nouns else tuple(reversed(things))


def render(scene: Scene) -> Image.Image:
    """The scene as (64, 64) RGB with smooth edges."""
    big = Image.new("RGB", (SIDE * SUPERSAMPLING, SIDE * SUPERSAMPLING), scene.background)
    draw = ImageDraw.Draw(big)
    for thing in scene.things:
        draw_outline(draw, thing, fill=PALETTE[thing.colour], scale=SUPERSAMPLING)
    return big.resize((SIDE, SIDE), Image.Resampling.BOX)


def draw_outline(draw: ImageDraw.ImageDraw, thing: Thing, *, fill: RGB | int, scale: float) -> None:
    x, y, radius = thing.x * scale, thing.y * scale, thing.radius * scale
    if thing.shape == "circle":
        draw.ellipse((x - radius, y - radius, x + radius - 1, y + radius - 1), fill=fill)
    else:
        draw.polygon(
            [(x + radius * right, y + radius * down) for right, down in OUTLINES[thing.shape]], fill=fill
        )

"""What the encoder is pretrained on: scenes whose captions differ little, and spoilt pictures of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from enum import StrEnum
from random import Random
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from demo.world.captions import (
    BACKGROUNDS,
    COLOURS,
    RELATIONS,
    SHAPES,
    Kind,
    Noun,
    Split,
    Statement,
    misstate,
    random_statement,
    split_of,
)
from demo.world.scenes import Scene, render, scene_of

CODE_NOISE = 0.4  # at most, in standard deviations of the code: a denoiser leaves about as much
OPPOSITES = {"left of": "right of", "right of": "left of", "above": "below", "below": "above"}
SEVERAL = 0.3  # of the words of a caption are wrong that is not one word apart


class Attribute(StrEnum):
    """A way in which two captions can differ."""

    COLOUR = "colour"
    SHAPE = "shape"
    COUNT = "count"
    RELATION = "relation"
    BINDING = "binding"  # which of two things has which colour or shape
    BACKGROUND = "background"


def attributes_of(statement: Statement) -> list[Attribute]:
    """Return the attributes that can be wrong in a caption of it."""
    attributes = [Attribute.COLOUR, Attribute.SHAPE]
    attributes.append(Attribute.RELATION if statement.kind is Kind.RELATED else Attribute.COUNT)
    if statement.kind is Kind.RELATED and _bindings(statement):
        attributes.append(Attribute.BINDING)
    if statement.background:
        attributes.append(Attribute.BACKGROUND)
    return attributes


def contradict(statement: Statement, attribute: Attribute, generator: Random) -> Statement:
    """Return a statement that differs in this attribute only."""
    if attribute is Attribute.BACKGROUND:
        return replace(statement, background=_other(statement.background, BACKGROUNDS, generator))
    if attribute is Attribute.RELATION:
        opposite = OPPOSITES[statement.relation or ""]  # the hardest: two in three times
        relation = opposite if generator.random() < 0.67 else _other(statement.relation, RELATIONS, generator)
        return replace(statement, relation=relation)
    if attribute is Attribute.COUNT:
        return replace(statement, nouns=statement.nouns[:1] * (3 - len(statement.nouns)))
    if attribute is Attribute.BINDING:
        return replace(statement, nouns=generator.choice(_bindings(statement)))
    while True:
        nouns = _misname(statement, attribute, generator)
        if statement.kind is not Kind.RELATED or nouns[0] != nouns[1]:
            return replace(statement, nouns=nouns)


def _misname(statement: Statement, attribute: Attribute, generator: Random) -> tuple[Noun, ...]:
    which = generator.randrange(len(statement.nouns))
    noun = statement.nouns[which]
    if attribute is Attribute.COLOUR:
        wrong = replace(noun, colour=_other(noun.colour, COLOURS, generator))
    else:
        wrong = replace(noun, shape=_other(noun.shape, SHAPES, generator))
    if statement.kind is not Kind.RELATED:
        return (wrong,) * len(statement.nouns)
    return tuple(wrong if place == which else noun for place, noun in enumerate(statement.nouns))


def _bindings(statement: Statement) -> list[tuple[Noun, ...]]:
    """The same colours and shapes, otherwise distributed, without being the mirrored relation only."""
    first, second = statement.nouns
    if first.colour == second.colour or first.shape == second.shape:
        return []
    return [(replace(first, colour=second.colour), replace(second, colour=first.colour))]


def _other(word: str | None, words: Sequence[str], generator: Random) -> str:
    return generator.choice([each for each in words if each != word])


def draw_statement(split: Split, generator: Random) -> Statement:
    while True:
        statement = random_statement(generator)
        if split_of(str(statement)) is split:
            return statement


def draw_group(split: Split, size: int, generator: Random) -> list[Scene]:
    """Scenes whose captions are all true of one only: one wrong word apart, or some.

    All captions are of the split but those that differ in count alone: single things and twins have so few
    captions that hardly any has its counterpart in its own split.
    """
    statement = draw_statement(split, generator)
    group, meanings = [statement], {_meaning(statement)}
    close = generator.random() < 0.7
    while len(group) < size:
        for _ in range(30):
            attribute = generator.choice(attributes_of(statement))
            variant = (
                contradict(statement, attribute, generator)
                if close
                else misstate(statement, generator, SEVERAL)
            )
            allowed = split_of(str(variant)) is split or (close and attribute is Attribute.COUNT)
            if allowed and _meaning(variant) not in meanings:
                break
        else:  # a rare statement has too few neighbours in its split
            variant = draw_statement(split, generator)
            if _meaning(variant) in meanings or bool(variant.background) != bool(statement.background):
                continue
        group.append(variant)
        meanings.add(_meaning(variant))
    return [scene_of(each, generator) for each in group]


def _meaning(statement: Statement) -> tuple[object, ...]:
    """Equal for "a left of b" and "b right of a"."""
    if statement.relation in ("right of", "below"):
        return statement.nouns[::-1], OPPOSITES[statement.relation], statement.background
    return statement.nouns, statement.relation, statement.background


def pictures(scenes: Sequence[Scene]) -> Tensor:
    """(B, 3, 64, 64) in 0..1."""
    pixels = np.stack([np.asarray(render(scene)) for scene in scenes])
    return torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 255


@torch.no_grad()
def repaint(images: Tensor, autoencoder: Any, generator: torch.Generator) -> Tensor:
    """Paint every second picture anew, from its code under noise, as the decoder of a generator does.

    Args: images (B, 3, H, W) in 0..1; autoencoder: an AutoencoderKL.
    """
    code = autoencoder.encode(images[::2] * 2 - 1).latent_dist.mean  # (B / 2, C, h, w)
    amount = CODE_NOISE * torch.rand(len(code), 1, 1, 1, generator=generator)
    painted = autoencoder.decode(code + amount * torch.randn(code.shape, generator=generator)).sample
    repainted = images.clone()
    repainted[::2] = (painted / 2 + 0.5).clamp(0, 1)
    return repainted


def spoil(images: Tensor, generator: torch.Generator) -> Tensor:
    """Make clean renderings look like what a generator paints: (B, 3, H, W) in 0..1, each in its own way.

    Softness (as from a decoder), waves of colour, grain, contrast and tint; a sixth stays clean.
    """
    b = len(images)

    def draw(low: float, high: float) -> Tensor:
        return torch.rand(b, 1, 1, 1, generator=generator) * (high - low) + low

    amount = draw(-0.2, 1.0).clamp(min=0)
    soft = F.interpolate(
        F.interpolate(images, scale_factor=0.5, mode="area"), scale_factor=2, mode="bilinear"
    )
    softer = F.avg_pool2d(F.pad(soft, (1, 1, 1, 1), mode="replicate"), 3, stride=1)
    blur = amount * draw(0, 1)
    images = images + blur * (torch.where(draw(0, 1) < 0.5, soft, softer) - images)
    waves = torch.randn(b, 3, 8, 8, generator=generator)
    images = images + amount * draw(0, 0.08) * F.interpolate(waves, size=images.shape[-2:], mode="bicubic")
    images = images + amount * draw(0, 0.06) * torch.randn(images.shape, generator=generator)
    tint = torch.randn(b, 3, 1, 1, generator=generator) * 0.03
    images = (images - 0.5) * (1 + amount * draw(-0.2, 0.1)) + 0.5 + amount * (tint + draw(-0.05, 0.05))
    return images.clamp(0, 1)

"""What each patch of a rendered scene shows: it teaches the image encoder sooner than captions can."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image, ImageDraw
from torch import Tensor, nn

from demo.world.captions import COLOURS, SHAPES
from demo.world.scenes import SIDE, Scene, draw_outline
from rewardmodel.learning.model.backbones.attention import Attention, split_heads

PATCH = 8  # px
FLAW = 0.02  # a deviation that an eye begins to see
SHAPE_CLASSES = 1 + len(SHAPES)  # nothing, or one of them
CLASSES = SHAPE_CLASSES + 1 + len(COLOURS)
ASPECTS = 4  # of a picture: size, place, lightness, flaws


def coverage(scenes: Sequence[Scene]) -> Tensor:
    """(B, P - 1, CLASSES): shares of a patch that are nothing or each shape; then nothing or each colour."""
    things = np.stack([_which_thing(scene) for scene in scenes])  # (B, H, W): 0 nothing, else its number
    shapes, colours = np.zeros((2, len(scenes), 3), dtype=np.int64)
    for row, scene in enumerate(scenes):
        for number, thing in enumerate(scene.things, start=1):
            shapes[row, number] = 1 + SHAPES.index(thing.shape)
            colours[row, number] = 1 + COLOURS.index(thing.colour)
    shares = []
    for classes, count in ((shapes, SHAPE_CLASSES), (colours, 1 + len(COLOURS))):
        labels = np.take_along_axis(classes, things.reshape(len(scenes), -1), axis=1).reshape(things.shape)
        pixels = F.one_hot(torch.from_numpy(labels), count).permute(0, 3, 1, 2).float()  # (B, C, H, W)
        shares.append(F.avg_pool2d(pixels, PATCH).flatten(2).transpose(1, 2))
    return torch.cat(shares, dim=-1)


def flaws_of(images: Tensor, clean: Tensor) -> Tensor:
    """(B, P - 1): how far each patch is from its clean picture, apart from a tint of the whole patch.

    Args: both (B, 3, H, W) in 0..1. Returns: the logarithm of the deviation, from 0 (none) to about 2.
    """
    off = images - clean
    power = F.avg_pool2d(off.square(), PATCH) - F.avg_pool2d(off, PATCH).square()  # (B, 3, h, w)
    return (1 + power.mean(dim=1).clamp(min=0).sqrt() / FLAW).log().flatten(1)


def aspects_of(scenes: Sequence[Scene], flaws: Tensor) -> Tensor:
    """(B, ASPECTS): how large the things are, how far out they lie, how light the background, how flawed all.

    Args: flaws (B, P - 1). Returns: each with mean about 0 and deviation about 1.
    """
    rows = []
    for scene in scenes:
        reach = np.array([[thing.reach(0), thing.reach(1)] for thing in scene.things])
        centres = np.array([[thing.x, thing.y] for thing in scene.things])
        middle = ((centres - reach).min(axis=0) + (centres + reach).max(axis=0)) / 2
        out = float(np.hypot(*(middle - SIDE / 2)))  # px
        radius = float(np.mean([thing.radius for thing in scene.things]))  # px
        rows.append(((radius - 10) / 3, (out - 10) / 6, np.mean(scene.background) / 70 - 2))
    return torch.cat(
        [torch.tensor(rows, dtype=torch.float32), flaws.mean(dim=1, keepdim=True) * 3 - 1], dim=1
    )


def _which_thing(scene: Scene) -> np.ndarray[tuple[int, ...], np.dtype[np.int64]]:
    numbered = Image.new("L", (SIDE, SIDE))
    draw = ImageDraw.Draw(numbered)
    for number, thing in enumerate(scene.things, start=1):
        draw_outline(draw, thing, fill=number, scale=1)
    return np.asarray(numbered, dtype=np.int64)


class PatchReader(nn.Module):
    """Says what each patch shows and how badly, and how many things there are; for pretraining only."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.project = nn.Linear(width, CLASSES)
        self.flaws = nn.Linear(width, 1)
        self.count = nn.Linear(width, 2)

    def loss(self, seen: Tensor, scenes: Sequence[Scene], flaws: Tensor) -> Tensor:
        """Cross-entropy of shape and of colour, mean over patches, and of the number of things; and the
        squared error of the flaws.

        Args: seen (B, P, V), what the image encoder gave; flaws (B, P - 1).
        """
        shares = coverage(scenes)  # (B, P - 1, CLASSES)
        logits = self.project(seen[:, 1:]).float()
        weight = 0.1 + (shares[..., 0] < 0.9).float()  # (B, P - 1): empty patches count little
        things = torch.tensor([len(scene.things) - 1 for scene in scenes])
        loss = 0.5 * F.cross_entropy(self.count(seen[:, 0]).float(), things)
        loss = loss + F.mse_loss(self.flaws(seen[:, 1:]).float()[..., 0], flaws)
        for part in (slice(None, SHAPE_CLASSES), slice(SHAPE_CLASSES, None)):
            entropy = -(shares[..., part] * logits[..., part].log_softmax(dim=-1)).sum(dim=-1)  # (B, P - 1)
            loss = loss + (entropy * weight).sum() / weight.sum()
        return loss


@dataclass(frozen=True)
class Named:
    """Words of a batch of captions that name a thing, N of them, and where in the picture it is."""

    rows: Tensor  # (N,): whose caption
    tokens: Tensor  # (N,): which of its tokens, [CLS] being the first and each word one
    shares: Tensor  # (N, P - 1): of the thing, how much lies in each patch; sums to 1
    centres: Tensor  # (N, 2): x and y, from -1 to 1


def named_things(scenes: Sequence[Scene]) -> Named:
    """Colour and shape words and their things; twins are one thing."""
    rows, tokens, masks = [], [], []
    for row, scene in enumerate(scenes):
        things = _which_thing(scene)
        words = str(scene.statement).split()
        places = [place for place, word in enumerate(words) if word in COLOURS]  # the shape is the next word
        for number, place in enumerate(places, start=1):
            mask = things == number if len(places) == len(scene.things) else things > 0
            for token in (1 + place, 2 + place):
                rows.append(row)
                tokens.append(token)
                masks.append(mask)
    pixels = torch.from_numpy(np.stack(masks)).float()  # (N, H, W)
    shares = F.avg_pool2d(pixels[:, None], PATCH).flatten(1)
    shares = shares / shares.sum(dim=1, keepdim=True)
    side = SIDE // PATCH
    middle = (torch.arange(side) + 0.5) / side * 2 - 1
    grid = torch.stack([middle.repeat(side), middle.repeat_interleave(side)], dim=1)  # (P - 1, 2): x, y
    return Named(torch.tensor(rows), torch.tensor(tokens), shares, shares @ grid)


class Pointer(nn.Module):
    """Teaches words to look at what they name, and to say where it is; needed in pretraining only."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.project = nn.Linear(width, 2)

    def looking(self, attention: Attention, queries: Tensor, seen: Tensor, named: Named) -> Tensor:
        """Cross-entropy of the first half of a cross-attention's heads with where the thing is.

        Args: queries (B, T, D), the words; seen (B, P, V), what the image encoder gave.
        """
        heads = attention.heads // 2
        q = split_heads(attention.query(queries), attention.heads)[:, :heads].float()  # (B, h, T, d)
        k = split_heads(attention.key(seen), attention.heads)[:, :heads].float()  # (B, h, P, d)
        weights = (q @ k.transpose(-1, -2) * q.shape[-1] ** -0.5).log_softmax(dim=-1)  # (B, h, T, P)
        log_weights = weights[named.rows, :, named.tokens, 1:]  # (N, h, P - 1)
        return -(named.shares[:, None] * log_weights).sum(dim=-1).mean()

    def saying(self, text: Tensor, named: Named) -> Tensor:
        """Mean squared distance, in half sides, from the thing: text (B, T, D), the words having looked."""
        return F.mse_loss(self.project(text[named.rows, named.tokens]).float(), named.centres)

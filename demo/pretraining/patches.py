"""What each patch of a rendered scene shows: it teaches the image encoder sooner than captions can."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image, ImageDraw
from torch import Tensor, nn

from demo.world.captions import COLOURS, SHAPES
from demo.world.scenes import SIDE, Scene, draw_outline

PATCH = 8  # px
SHAPE_CLASSES = 1 + len(SHAPES)  # nothing, or one of them
CLASSES = SHAPE_CLASSES + 1 + len(COLOURS)


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
        shown = np.take_along_axis(classes, things.reshape(len(scenes), -1), axis=1).reshape(things.shape)
        pixels = F.one_hot(torch.from_numpy(shown), count).permute(0, 3, 1, 2).float()  # (B, C, H, W)
        shares.append(F.avg_pool2d(pixels, PATCH).flatten(2).transpose(1, 2))
    return torch.cat(shares, dim=-1)


def _which_thing(scene: Scene) -> np.ndarray[tuple[int, ...], np.dtype[np.int64]]:
    numbered = Image.new("L", (SIDE, SIDE))
    draw = ImageDraw.Draw(numbered)
    for number, thing in enumerate(scene.things, start=1):
        draw_outline(draw, thing, fill=number, scale=1)
    return np.asarray(numbered, dtype=np.int64)


class PatchReader(nn.Module):
    """Says what each patch shows, and how many things there are; needed in pretraining only."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.project = nn.Linear(width, CLASSES)
        self.count = nn.Linear(width, 2)

    def loss(self, seen: Tensor, scenes: Sequence[Scene]) -> Tensor:
        """Cross-entropy of shape and of colour, mean over patches, and of the number of things.

        Args: seen (B, P, V), what the image encoder gave.
        """
        shares = coverage(scenes)  # (B, P - 1, CLASSES)
        said = self.project(seen[:, 1:]).float()
        weight = 0.1 + (shares[..., 0] < 0.9).float()  # (B, P - 1): empty patches count little
        things = torch.tensor([len(scene.things) - 1 for scene in scenes])
        loss = 0.5 * F.cross_entropy(self.count(seen[:, 0]).float(), things)
        for part in (slice(None, SHAPE_CLASSES), slice(SHAPE_CLASSES, None)):
            own = -(shares[..., part] * said[..., part].log_softmax(dim=-1)).sum(dim=-1)  # (B, P - 1)
            loss = loss + (own * weight).sum() / weight.sum()
        return loss


class Pointer(nn.Module):
    """Says where the thing is that a word names; needed in pretraining only."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.project = nn.Linear(width, 2)

    def loss(self, text: Tensor, scenes: Sequence[Scene]) -> Tensor:
        """Mean squared distance, in half sides, from a word's thing to where it is pointed at.

        Args: text (B, T, D), the caption's words having seen the picture; [CLS] first, one token a word.
        """
        row, word, x, y = torch.tensor(
            [(row, *named) for row, scene in enumerate(scenes) for named in _named_places(scene)]
        ).T
        half = SIDE / 2
        target = torch.stack([x, y], dim=1) / half - 1
        return F.mse_loss(self.project(text[row.long(), 1 + word.long()]).float(), target)


def _named_places(scene: Scene) -> list[tuple[float, float, float]]:
    """Words that name a thing, by place in the caption, and the thing's centre; for twins their middle."""
    words = str(scene.statement).split()
    named = [place for place, word in enumerate(words) if word in COLOURS]  # its shape is the next word
    if len(named) == len(scene.things):
        centres = [(thing.x, thing.y) for thing in scene.things]
    else:
        centres = [tuple(np.mean([(thing.x, thing.y) for thing in scene.things], axis=0))]
    return [(place + i, *centre) for place, centre in zip(named, centres, strict=True) for i in (0, 1)]

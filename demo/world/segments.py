"""What is seen in a picture of the small world: its background and the things on it, by image analysis."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from demo.world.captions import SHAPES
from demo.world.scenes import PALETTE, SIDE, Thing, draw_outline

Mask = NDArray[np.bool_]
Floats = NDArray[np.float64]

BORDER = 2  # px
CONTRAST = 45.0  # how far from the background a thing's pixels are, in RGB units
SMALLEST = 30  # px; a smaller patch is dirt
CROP = 24  # px; shapes are compared at this size


@dataclass(frozen=True)
class Seen:
    """One thing found: `fit` (0..1) is how well its outline is its shape's; box is x0, y0, x1, y1 in px."""

    colour: str
    shape: str
    fit: float
    area: int
    box: tuple[int, int, int, int]
    mask: Mask

    @property
    def centre(self) -> tuple[float, float]:
        x0, y0, x1, y1 = self.box
        return (x0 + x1) / 2, (y0 + y1) / 2


@dataclass(frozen=True)
class View:
    """A picture as it is seen: pixels (64, 64, 3) and background (3,) in 0..255; things, largest first."""

    pixels: Floats
    background: Floats
    things: tuple[Seen, ...]


def look(image: Image.Image) -> View:
    """What is in a picture; another size than 64 x 64 is scaled first."""
    rgb = image.convert("RGB")
    if rgb.size != (SIDE, SIDE):
        rgb = rgb.resize((SIDE, SIDE), Image.Resampling.BOX)
    pixels = np.asarray(rgb, dtype=np.float64)
    border = np.concatenate(
        [
            pixels[:BORDER].reshape(-1, 3),
            pixels[-BORDER:].reshape(-1, 3),
            pixels[:, :BORDER].reshape(-1, 3),
            pixels[:, -BORDER:].reshape(-1, 3),
        ]
    )
    background = np.median(border, axis=0)
    foreground = np.linalg.norm(pixels - background, axis=2) > CONTRAST
    things = [_recognise(pixels, mask) for mask in _patches(foreground) if mask.sum() >= SMALLEST]
    return View(pixels, background, tuple(sorted(things, key=lambda thing: -thing.area)))


def erode(mask: Mask, times: int = 1) -> Mask:
    """The mask less its rim; the picture's border counts as inside."""
    for _ in range(times):
        wide = np.pad(mask, 1, constant_values=True)
        mask = mask & wide[:-2, 1:-1] & wide[2:, 1:-1] & wide[1:-1, :-2] & wide[1:-1, 2:]
    return mask


def _patches(mask: Mask) -> list[Mask]:
    """The mask's connected parts (8 neighbours), by spreading each part's highest number until none moves."""
    numbers = np.where(mask, np.arange(1, mask.size + 1).reshape(mask.shape), 0)
    while True:
        wide = np.pad(numbers, 1)
        rows = np.maximum(np.maximum(wide[:-2], wide[1:-1]), wide[2:])
        spread = np.where(mask, np.maximum(np.maximum(rows[:, :-2], rows[:, 1:-1]), rows[:, 2:]), 0)
        flat = np.append(0, spread.ravel())  # jump: take what the pixel it came from has by now
        spread = np.where(mask, np.maximum(spread, flat[spread]), 0)
        if np.array_equal(spread, numbers):
            return [numbers == number for number in np.unique(numbers) if number]
        numbers = spread


def _recognise(pixels: Floats, mask: Mask) -> Seen:
    inside = erode(mask)
    inside = inside if inside.any() else mask
    hue = np.median(pixels[inside], axis=0)
    colour = min(PALETTE, key=lambda name: float(np.linalg.norm(hue - PALETTE[name])))
    ys, xs = np.nonzero(mask)
    box = (int(xs.min()), int(ys.min()), int(xs.max()) + 1, int(ys.max()) + 1)
    crop = _scaled(mask[box[1] : box[3], box[0] : box[2]])
    fits = {shape: _overlap(crop, template) for shape, template in _templates().items()}
    shape = max(fits, key=fits.__getitem__)
    width, height = box[2] - box[0], box[3] - box[1]
    upright = min(width, height) / max(width, height)  # stretched to the crop, a bar would pass for a square
    stretched = 1.0 if upright > 0.75 else upright / 0.75
    return Seen(colour, shape, fits[shape] * stretched, int(mask.sum()), box, mask)


def _scaled(mask: Mask) -> Mask:
    grey = Image.fromarray(mask.astype(np.uint8) * 255)
    return np.asarray(grey.resize((CROP, CROP), Image.Resampling.BILINEAR)) > 127


@cache
def _templates() -> dict[str, Mask]:
    masks = {}
    for shape in SHAPES:
        image = Image.new("L", (SIDE * 3, SIDE * 3))
        draw_outline(ImageDraw.Draw(image), Thing("red", shape, 20, 32, 32), fill=255, scale=3)
        masks[shape] = _scaled(np.asarray(image.crop(image.getbbox())) > 127)
    return masks


def _overlap(a: Mask, b: Mask) -> float:
    """Intersection over union, 0..1."""
    return float((a & b).sum() / (a | b).sum())

"""Image files and prompts as the tensors that a model takes, prepared as the published code does."""

from __future__ import annotations

from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from PIL import ExifTags, Image
from torch import Tensor

from rewardmodel.learning.data.png import SIGNATURE, without_unseen
from rewardmodel.learning.model.backbones.config import ImageInput

# The transposition that turns an image upright, by its EXIF tag Orientation (EXIF 2.32, 4.6.4).
TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}

# The largest ratio of an image's sides: fitted by its short side, the long one grows without limit, and a
# file of 300 bytes could ask for 10 GB.
MAX_ASPECT_RATIO = 100

# Pillow's mode I holds whole numbers of any range, F any numbers. Of these formats 65535 is white in mode I.
SHADES_OF_16_BITS = ("PNG", "PPM")


class UnreadableImage(ValueError):
    """A file is missing or holds no whole image; the message names it."""


def read_image(source: str | Path | Image.Image) -> Image.Image:
    """Decode an image, or the first frame of an animation, in RGB and turned as its EXIF says.

    Colours under transparent pixels are kept, as in the published code. 16-bit grey is scaled to 8 bits,
    where that code makes nearly all of it white; modes of any range, which it makes white too, are refused.

    Raises: UnreadableImage; TypeError when the source is neither a path nor a Pillow image.
    """
    if not isinstance(source, str | Path | Image.Image):
        raise TypeError(f"an image is a path or a Pillow image, not {type(source).__name__}")
    name = (
        source if isinstance(source, str | Path) else getattr(source, "filename", "") or "an image in memory"
    )
    try:
        if isinstance(source, Image.Image):
            return _upright(source)
        with open_image(source) as image:
            return _upright(image)
    except FileNotFoundError:
        raise UnreadableImage(f"{name}: no such image") from None
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise UnreadableImage(f"{name}: not a whole image ({error})") from error


def open_image(source: str | Path) -> Image.Image:
    """Open a file, of a PNG only what a model is shown: texts in it, sound or not, do not matter."""
    with open(source, "rb") as file:
        head = file.read(len(SIGNATURE))
        if head == SIGNATURE:
            return Image.open(BytesIO(without_unseen(head + file.read())))
    return Image.open(source)


def check_header(image: Image.Image) -> None:
    """Raises: ValueError for an image that is too long and narrow, or of a mode without a known white."""
    if max(image.size) > MAX_ASPECT_RATIO * min(image.size):
        raise ValueError(f"{image.width} x {image.height} pixels are too long and narrow")
    if image.mode == "F" or (image.mode == "I" and image.format not in SHADES_OF_16_BITS):
        raise ValueError(f"of mode {image.mode}, which does not say what value is white")


def _upright(image: Image.Image) -> Image.Image:
    check_header(image)
    image.load()
    turn = TURNS.get(image.getexif().get(ExifTags.Base.Orientation, 1))
    # Not ImageOps.exif_transpose, which rewrites the rest of EXIF and fails where that is damaged.
    upright = image if turn is None else image.transpose(turn)
    if upright.mode == "I" or upright.mode.startswith("I;16"):  # Pillow makes all above 255 white
        upright = Image.fromarray((np.asarray(upright) / 257).round().astype(np.uint8))
    return upright.convert("RGB")


def to_pixels(image: Image.Image, image_input: ImageInput) -> Tensor:
    """Fit an image by antialiased bicubic and crop its centre -> (3, size, size) uint8."""
    size = image_input.size
    width, height = _fitted_size(image.width, image.height, image_input)
    if (width, height) != image.size:
        image = image.resize((width, height), Image.Resampling.BICUBIC)
    left, top = _crop_offset(width, size), _crop_offset(height, size)
    image = image.crop((left, top, left + size, top + size))
    return torch.from_numpy(np.array(image)).permute(2, 0, 1).contiguous()


def fit(images: Tensor, image_input: ImageInput) -> Tensor:
    """Do what `to_pixels` does, differentiably: (B, 3, H, W) in 0..1 -> (B, 3, size, size) in 0..1."""
    size = image_input.size
    height, width = images.shape[-2:]
    new_width, new_height = _fitted_size(width, height, image_input)
    if (new_width, new_height) != (width, height):
        images = F.interpolate(images, (new_height, new_width), mode="bicubic", antialias=True).clamp(0, 1)
    left, top = _crop_offset(new_width, size), _crop_offset(new_height, size)
    return images[..., top : top + size, left : left + size]


def _fitted_size(width: int, height: int, image_input: ImageInput) -> tuple[int, int]:
    size = image_input.size
    if image_input.fit == "squash":
        return size, size
    if width <= height:
        return size, int(size * height / width)
    return int(size * width / height), size


def _crop_offset(length: int, size: int) -> int:
    return round((length - size) / 2)


def normalise(images: Tensor, image_input: ImageInput) -> Tensor:
    """(..., 3, H, W), uint8 or float in 0..1 -> float, less the model's mean and over its deviation."""
    if images.dtype == torch.uint8:
        images = images.float() / 255
    mean = images.new_tensor(image_input.mean)[:, None, None]
    std = images.new_tensor(image_input.std)[:, None, None]
    return (images - mean) / std


def tokenise(tokenizer: Any, prompts: Sequence[str], max_tokens: int) -> tuple[Tensor, Tensor]:
    """Prompts -> tokens and mask, both (B, T) int64, T the longest of them and at most max_tokens."""
    encoded = tokenizer(
        list(prompts), padding="longest", truncation=True, max_length=max_tokens, return_tensors="pt"
    )
    return encoded["input_ids"], encoded["attention_mask"]

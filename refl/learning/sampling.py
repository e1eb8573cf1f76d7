"""Images from a diffusers pipeline, each decided by its own prompt and seed."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from refl.learning.config import GRID_COLUMNS, GRID_GAP
from refl.learning.families import Family

# (prompts, images), as many of one as of the other -> a number for each, higher is better.
Score = Callable[[list[str], list[Image.Image]], Sequence[float]]


@dataclass(frozen=True)
class Choice:
    """The best of some candidates: the image, the seed it was made from, and its reward."""

    image: Image.Image
    seed: int
    reward: float


def sample(
    family: Family,
    prompts: Sequence[str],
    seeds: Sequence[int],
    *,
    steps: int,
    guidance_scale: float,
    batch_size: int,
) -> Iterator[Image.Image]:
    """Yield one image for each prompt with its seed, in order.

    An image depends on its own prompt and seed only, not on what shares its batch or on the batch size
    (up to rounding: a value in a hundred may differ by 1 of 255).

    Args:
        seeds: one for each prompt, of the noise it starts from.
        steps: of the pipeline's own scheduler.
        guidance_scale: 1 is none.
    Raises: ValueError when there are not as many seeds as prompts.
    """
    pairs = list(zip(prompts, seeds, strict=True))
    return _sample_batches(
        family, pairs, batch_size, num_inference_steps=steps, guidance_scale=guidance_scale
    )


def _sample_batches(
    family: Family, pairs: list[tuple[str, int]], batch_size: int, **settings: float
) -> Iterator[Image.Image]:
    for start in range(0, len(pairs), batch_size):
        batch = pairs[start : start + batch_size]
        generators = [torch.Generator().manual_seed(seed) for _, seed in batch]
        prompts = [prompt for prompt, _ in batch]
        width, height = family.image_size
        yield from family.pipeline(
            prompts, width=width, height=height, generator=generators, **settings
        ).images


def to_tensor(images: Sequence[Image.Image]) -> Tensor:
    """Return images of one size as rewards take them. (B, 3, H, W) in 0..1"""
    pixels = np.stack([np.asarray(image.convert("RGB")) for image in images])  # (B, H, W, 3) uint8
    return torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 255


def best_of(
    family: Family,
    prompts: Sequence[str],
    seeds: Sequence[Sequence[int]],
    score: Score,
    *,
    steps: int,
    guidance_scale: float,
    batch_size: int,
) -> Iterator[Choice]:
    """Yield for each prompt, in order, the candidate that scores highest; of equal ones the first.

    It is the image that `sample` makes from the seed. No more than a batch of images, and the best, are held.
    Batches hold whole prompts' candidates (`prompts_at_once`), unless one prompt's fill more than one.

    Args: seeds: of each prompt's candidates, one or more, everywhere as many.
    Raises: ValueError when there are not as many groups of seeds as prompts, or a score is not finite.
    """
    groups = list(zip(prompts, seeds, strict=True))
    at_once = prompts_at_once(len(seeds[0]), batch_size) if groups else 1
    for start in range(0, len(groups), at_once):
        rows = [
            (place, prompt, seed)
            for place, (prompt, candidates) in enumerate(groups[start : start + at_once])
            for seed in candidates
        ]
        best: dict[int, Choice] = {}
        for at in range(0, len(rows), batch_size):
            batch = rows[at : at + batch_size]
            texts = [prompt for _, prompt, _ in batch]
            made = sample(
                family,
                texts,
                [seed for *_, seed in batch],
                steps=steps,
                guidance_scale=guidance_scale,
                batch_size=batch_size,
            )
            images = list(made)
            for (place, prompt, seed), image, reward in zip(batch, images, score(texts, images), strict=True):
                if not math.isfinite(reward):
                    raise ValueError(f"the reward of seed {seed} for {prompt!r} is {reward}")
                if place not in best or reward > best[place].reward:
                    best[place] = Choice(image, seed, reward)
        yield from best.values()


def prompts_at_once(candidates: int, batch_size: int) -> int:
    """Return how many prompts' candidates fit into a batch of images, at least one."""
    return max(1, batch_size // candidates)


def grid(images: Sequence[Image.Image]) -> Image.Image:
    """Lay out the images row by row, with gaps, on white; all have the size of the first."""
    width, height = (side + GRID_GAP for side in images[0].size)
    rows = -(-len(images) // GRID_COLUMNS)
    sheet = Image.new("RGB", (width * GRID_COLUMNS - GRID_GAP, height * rows - GRID_GAP), "white")
    for index, image in enumerate(images):
        sheet.paste(image, (width * (index % GRID_COLUMNS), height * (index // GRID_COLUMNS)))
    return sheet

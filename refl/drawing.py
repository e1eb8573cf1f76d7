"""Sampling generators so that they can be compared image by image."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice

from PIL import Image

from refl.models import Generator
from refl.pipelines import load_generator
from refl.seeds import seeds_of

BATCH = 16  # images made at once


def draw(generator: Generator, prompts: Sequence[str], *, each: int) -> Iterator[list[Image.Image]]:
    """Yield each prompt's images, sampled with the generator's own steps and guidance.

    Seeds follow from the prompts, so that two generators are compared image by image.

    Raises: NotAPipeline.
    """
    from refl.learning.sampling import sample

    images = sample(
        load_generator(generator),
        [prompt for prompt in prompts for _ in range(each)],
        [seed for prompt in prompts for seed in seeds_of(prompt, each)],
        steps=generator.steps,
        guidance_scale=generator.guidance_scale,
        batch_size=BATCH,
    )
    for _ in prompts:
        yield list(islice(images, each))

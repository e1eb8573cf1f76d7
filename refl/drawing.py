"""What a generator makes of prompts, for comparing it with another."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice

from PIL import Image

from refl.models import Generator
from refl.seeds import seeds_of

BATCH = 16  # images made at once


def draw(generator: Generator, prompts: Sequence[str], *, each: int) -> Iterator[list[Image.Image]]:
    """So many images of each prompt, sampled as the generator is meant to be; prompt by prompt.

    Seeds follow from the prompts, so that two generators are compared image by image.

    Raises: NotAPipeline.
    """
    from refl.learning.sampling import load_pipeline, sample

    images = sample(
        load_pipeline(generator.location),
        [prompt for prompt in prompts for _ in range(each)],
        [seed for prompt in prompts for seed in seeds_of(prompt, each)],
        steps=generator.steps,
        guidance_scale=generator.guidance_scale,
        batch_size=BATCH,
    )
    for _ in prompts:
        yield list(islice(images, each))

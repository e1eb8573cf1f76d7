"""Sampling generators so that they can be compared image by image."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from itertools import islice

from PIL import Image

from refl.models import Generator

BATCH = 16  # images made at once


def draw(generator: Generator, prompts: Sequence[str], *, each: int) -> Iterator[list[Image.Image]]:
    """Yield each prompt's images, sampled with the generator's own steps and guidance.

    Seeds follow from the prompts, so that two generators are compared image by image.

    Raises: NotAPipeline.
    """
    from refl.learning.families.loading import load_family
    from refl.learning.sampling import sample

    images = sample(
        load_family(generator.location),
        [prompt for prompt in prompts for _ in range(each)],
        [seed for prompt in prompts for seed in seeds_of(prompt, each)],
        steps=generator.steps,
        guidance_scale=generator.guidance_scale,
        batch_size=BATCH,
    )
    for _ in prompts:
        yield list(islice(images, each))


def seeds_of(prompt: str, count: int) -> list[int]:
    """Return the seeds of a prompt's images, distinct, in 0..2^31 - 1; more seeds begin with the same ones.

    They do not depend on the generator, so two generators are compared image by image.

    Args: prompt: its key in its project, or its text.
    """
    digest = hashlib.sha256(prompt.encode()).digest()
    first = int.from_bytes(digest[:4], "big")
    return [(first + number) % 2**31 for number in range(count)]

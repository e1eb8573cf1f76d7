"""Import the images that a generator made, for annotators."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from django.db import transaction

from annotation.models import Generation, Prompt
from annotation.services.assignments.assignments import open_assignments
from annotation.services.projects.images import check_image
from annotation.services.projects.prompts import NewImage, attach_images
from refl.models import Generator


@transaction.atomic
def import_samples(
    *,
    prompt: Prompt,
    generator: Generator,
    images: Mapping[int, Path],
    parameters: Mapping[int, Mapping[str, Any]] = {},
) -> list[Generation]:
    """Add the images to the prompt and open its assignments. An image that it already has is skipped.

    Two seeds may give equal images; annotators see one of them.

    Args:
        images: seed -> file.
        parameters: seed -> what is recorded of the image beside the generator's steps and guidance.
    Returns: the images added.
    Raises: ImagesRefused when the prompt would have more images than can be placed.
    """
    distinct, seen = [], set()
    for seed, file in images.items():
        checked = check_image(file)
        if checked.sha256 not in seen:
            seen.add(checked.sha256)
            distinct.append((_new_image(generator, seed, file, parameters.get(seed, {})), checked))
    added = attach_images(prompt=prompt, images=distinct)
    open_assignments(prompts=[prompt])
    return added


def _new_image(generator: Generator, seed: int, file: Path, parameters: Mapping[str, Any]) -> NewImage:
    return NewImage(
        content=file,
        source=f"{generator.name}/{seed}.png",
        generator=generator.name,
        seed=seed,
        parameters={"steps": generator.steps, "guidance_scale": generator.guidance_scale, **parameters},
    )

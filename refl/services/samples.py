"""Import the images that a generator made, for annotators."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from django.db import transaction

from annotation.models import Generation, Prompt
from annotation.services.assignments.assignments import open_assignments
from annotation.services.projects.images import check_image
from annotation.services.projects.prompts import NewImage, attach_images
from refl.models import Generator


@dataclass(frozen=True)
class Sample:
    """An image file and what made it.

    Attributes:
        seed: that it was made from.
        parameters: what is recorded of the image beside the generator's steps and guidance.
    """

    generator: Generator
    seed: int
    file: Path
    parameters: Mapping[str, Any] = field(default_factory=dict)


@transaction.atomic
def import_samples(*, prompt: Prompt, samples: Iterable[Sample]) -> list[Generation]:
    """Add the images to the prompt and open its assignments. An image that it already has is skipped.

    Two seeds may give equal images; annotators see one of them.

    Returns: the images added.
    Raises: ImagesRefused when the prompt would have more images than can be placed.
    """
    distinct, seen = [], set()
    for sample in samples:
        checked = check_image(sample.file)
        if checked.sha256 not in seen:
            seen.add(checked.sha256)
            distinct.append((new_image(sample), checked))
    added = attach_images(prompt=prompt, images=distinct)
    open_assignments(prompts=[prompt])
    return added


def new_image(sample: Sample) -> NewImage:
    """Return the sample as an image to add to a prompt."""
    generator = sample.generator
    return NewImage(
        content=sample.file,
        source=f"{generator.name}/{sample.seed}.png",
        generator=generator.name,
        seed=sample.seed,
        parameters={
            "steps": generator.steps,
            "guidance_scale": generator.guidance_scale,
            **sample.parameters,
        },
    )

"""Image files of prompts, each made from one seed, or the best of several candidates by a reward model."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from PIL import Image, PngImagePlugin

from rewardmodel.learning.saving import write_whole

if TYPE_CHECKING:
    from refl.learning.families import Family
    from refl.learning.sampling import Choice, Score

TEXT = "laurel"  # the PNG's text that describes a choice


@dataclass(frozen=True)
class ImageFile:
    """An image to be made: its prompt, the seeds of its candidates, and its file."""

    prompt: str
    seeds: Sequence[int]
    file: Path


@dataclass(frozen=True)
class Judge:
    """A reward model that keeps the best candidate. `name` is how the images' data name it."""

    name: str
    score: Score


@dataclass(frozen=True)
class Description:
    """How an image was chosen. With its prompt, generator, steps and guidance it can be made again.

    Attributes:
        seed: that it was made from.
        best_of: how many candidates there were.
        reward_model, reward: what chose it, and what it scored.
    """

    seed: int
    best_of: int
    reward_model: str
    reward: float

    @classmethod
    def read(cls, file: Path) -> Self | None:
        """Read it from a file; None where there is no file, or its image was no choice."""
        try:
            with Image.open(file) as image:
                text = image.info.get(TEXT)
        except FileNotFoundError:
            return None
        return None if text is None else cls(**json.loads(text))

    def parameters(self) -> dict[str, Any]:
        """Return what is recorded of the image, beside its seed."""
        return {"best_of": self.best_of, "reward_model": self.reward_model, "reward": self.reward}


def split_seeds(seeds: Sequence[int], best_of: int) -> list[Sequence[int]]:
    """Split seeds into groups of candidates, one group an image."""
    return [seeds[at : at + best_of] for at in range(0, len(seeds), best_of)]


def make_files(
    family: Family,
    rows: Sequence[ImageFile],
    judge: Judge | None,
    *,
    steps: int,
    guidance_scale: float,
    batch_size: int,
) -> Iterator[ImageFile]:
    """Make the images in order, and yield each when its file is there.

    Args: judge: chooses among the candidates; None where every image has one seed.
    Raises: NotSaved.
    """
    from refl.learning.sampling import best_of, sample

    prompts = [row.prompt for row in rows]
    if judge is None:
        images = sample(
            family,
            prompts,
            [row.seeds[0] for row in rows],
            steps=steps,
            guidance_scale=guidance_scale,
            batch_size=batch_size,
        )
        for row, image in zip(rows, images, strict=True):
            with write_whole(row.file) as partial:
                image.save(partial, "PNG")
            yield row
        return
    choices = best_of(
        family,
        prompts,
        [row.seeds for row in rows],
        judge.score,
        steps=steps,
        guidance_scale=guidance_scale,
        batch_size=batch_size,
    )
    for row, choice in zip(rows, choices, strict=True):
        _save(row, choice, judge)
        yield row


def _save(row: ImageFile, choice: Choice, judge: Judge) -> None:
    description = Description(choice.seed, len(row.seeds), judge.name, choice.reward)
    text = PngImagePlugin.PngInfo()
    text.add_text(TEXT, json.dumps(asdict(description)))
    with write_whole(row.file) as partial:
        choice.image.save(partial, "PNG", pnginfo=text)

"""Comparing a tuned generator with the one it came from, by rewards."""

from __future__ import annotations

from collections.abc import Sequence

from PIL import Image

from refl.evidence import Change, paired_change
from refl.models import Generator
from refl.seeds import seeds_of
from rewardmodel.models import RewardCheckpoint
from rewardmodel.scoring import scorer
from rewardmodel.services.execution import Interrupted, Pulse

# Ours. Few prompts are sampled often, up to 4 times; past 200 prompts the interval gains little.
PROMPTS, IMAGES, IMAGES_EACH, BATCH = 200, 200, 4, 16

Samples = list[list[Image.Image]]


def measure_changes(
    tuned: Generator, *, checkpoints: Sequence[RewardCheckpoint], prompts: Sequence[str], pulse: Pulse
) -> list[Change]:
    """How each reward changes from the generator's parent to it, on the same prompts with the same seeds.

    Args: prompts: held out from tuning and from the reward models; the first 200 are used.
    Returns: one change for each checkpoint.
    Raises: Interrupted, NotAPipeline, CheckpointError; ValueError without a prompt.
    """
    assert tuned.parent is not None
    asked = list(prompts[:PROMPTS])
    each = min(IMAGES_EACH, -(-IMAGES // max(len(asked), 1)))
    before, after = (_draw(generator, asked, each, pulse) for generator in (tuned.parent, tuned))
    changes = []
    for checkpoint in checkpoints:
        model = scorer(checkpoint)
        scores = [
            [model.score(prompt, images) for prompt, images in zip(asked, samples, strict=True)]
            for samples in (before, after)
        ]
        changes.append(paired_change(*scores, seed=0))
    return changes


def _draw(generator: Generator, prompts: list[str], each: int, pulse: Pulse) -> Samples:
    """The images of each prompt."""
    from refl.learning.sampling import load_pipeline, sample

    images = sample(
        load_pipeline(generator.location),
        [prompt for prompt in prompts for _ in range(each)],
        [seed for prompt in prompts for seed in seeds_of(prompt, each)],
        steps=generator.steps,
        guidance_scale=generator.guidance_scale,
        batch_size=BATCH,
    )
    drawn: Samples = [[] for _ in prompts]
    for number, image in enumerate(images):
        drawn[number // each].append(image)
        if pulse.should_stop():
            raise Interrupted
    return drawn

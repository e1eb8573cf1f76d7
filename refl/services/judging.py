"""Comparing a tuned generator with the one it came from, by rewards."""

from __future__ import annotations

from collections.abc import Sequence

from PIL import Image

from refl.drawing import draw
from refl.evidence import Change, paired_change
from refl.models import Generator
from rewardmodel.learning.errors import Interrupted
from rewardmodel.models import RewardCheckpoint
from rewardmodel.runs.execution import Heartbeat
from rewardmodel.scoring import scorer

# Ours. Few prompts are sampled often, up to 4 times; past 200 prompts the interval gains little.
PROMPTS, IMAGES, IMAGES_EACH = 200, 200, 4


def measure_changes(
    tuned: Generator, *, checkpoints: Sequence[RewardCheckpoint], prompts: Sequence[str], heartbeat: Heartbeat
) -> list[Change]:
    """How each reward changes from the generator's parent to it, on the same prompts with the same seeds.

    Args: prompts: held out from tuning and from the reward models; the first 200 are used.
    Returns: one change for each checkpoint.
    Raises: Interrupted, NotAPipeline, CheckpointError; ValueError without a prompt.
    """
    assert tuned.parent is not None
    asked = list(prompts[:PROMPTS])
    each = min(IMAGES_EACH, -(-IMAGES // max(len(asked), 1)))
    before, after = (_draw(generator, asked, each, heartbeat) for generator in (tuned.parent, tuned))
    changes = []
    for checkpoint in checkpoints:
        model = scorer(checkpoint)
        scores = [model.score_groups(asked, samples) for samples in (before, after)]
        changes.append(paired_change(*scores, seed=0))
    return changes


def _draw(
    generator: Generator, prompts: list[str], each: int, heartbeat: Heartbeat
) -> list[list[Image.Image]]:
    """The images of each prompt."""
    drawn = []
    for images in draw(generator, prompts, each=each):
        drawn.append(images)
        if heartbeat.should_stop():
            raise Interrupted
    return drawn

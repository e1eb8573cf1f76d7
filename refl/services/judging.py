"""Compare a tuned generator with its parent by rewards."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from annotation.statistics.estimates import interval, resample
from refl.drawing import draw
from refl.judged_images import store_judged
from refl.models import Generator
from refl.seeds import seeds_of
from rewardmodel.learning.errors import Interrupted
from rewardmodel.runs.execution import Heartbeat

if TYPE_CHECKING:
    from refl.learning.rewards import Reward

# Ours. Few prompts are sampled often, up to 4 times; past 200 prompts the interval gains little.
PROMPTS, IMAGES, IMAGES_EACH = 200, 200, 4


# Ours: half of what Cohen (Statistical Power Analysis, 1988) calls a small effect. Heads for artifacts, which
# see flaws dimly, moved by as much where images had become a little cleaner.
NEGLIGIBLE = 0.1  # standard deviations over prompts


@dataclass(frozen=True)
class Change:
    """Mean scores before and after, and the 95 % interval of their mean difference. In units of the score.

    Attributes:
        deviation: the standard deviation of the prompts' mean scores before.
    """

    before: float
    after: float
    low: float
    high: float
    prompts: int
    deviation: float

    @property
    def difference(self) -> float:
        return self.after - self.before

    @property
    def loss(self) -> float:
        """What was lost, in standard deviations over prompts; 0 where chance explains it."""
        return -self.difference / self.deviation if self.high < 0 < self.deviation else 0.0

    def is_a_fall(self, allowance: float = NEGLIGIBLE) -> bool:
        """Whether the whole interval lies so many standard deviations over prompts below zero."""
        return self.high < -allowance * self.deviation

    def to_dict(self) -> dict[str, float | int]:
        return {**asdict(self), "difference": self.difference}


def measure_changes(
    tuned: Generator, *, rewards: Mapping[str, Reward], prompts: Sequence[str], heartbeat: Heartbeat
) -> dict[str, Change]:
    """Measure how each reward changes from the generator's parent to it, on equal prompts and seeds.

    The first image of each of the first prompts is stored in its run's folder, to be looked at.

    Args: prompts: held out from tuning and from the reward models; the first 200 are used.
    Returns: the change of each reward, by its name.
    Raises: Interrupted, NotAPipeline, BadReward, NotSaved; ValueError without a prompt.
    """
    assert tuned.parent is not None
    assert tuned.run is not None
    chosen = list(prompts[:PROMPTS])
    each = min(IMAGES_EACH, -(-IMAGES // max(len(chosen), 1)))
    before, after = (_draw(generator, chosen, each, heartbeat) for generator in (tuned.parent, tuned))
    seeds = [seeds_of(prompt, 1)[0] for prompt in chosen]
    store_judged(
        tuned.run.folder, chosen, seeds, *([images[0] for images in group] for group in (before, after))
    )
    changes = {}
    for name, reward in rewards.items():
        scores = [_score(name, reward, chosen, samples) for samples in (before, after)]
        changes[name] = paired_change(*scores, seed=0)
    return changes


def _draw(
    generator: Generator, prompts: list[str], each: int, heartbeat: Heartbeat
) -> list[list[Image.Image]]:
    """Return the images of each prompt. Raises: Interrupted; NotAPipeline."""
    groups = []
    for images in draw(generator, prompts, each=each):
        groups.append(images)
        if heartbeat.should_stop():
            raise Interrupted
    return groups


def _score(
    name: str, reward: Reward, prompts: Sequence[str], groups: Sequence[Sequence[Image.Image]]
) -> list[list[float]]:
    """Score each image of group i for prompt i. Raises: BadReward."""
    import torch

    from refl.learning.rewards import score
    from refl.learning.sampling import to_tensor
    from rewardmodel.learning.devices import device_or_default

    with torch.no_grad():
        return [
            score(
                reward, [prompt] * len(images), to_tensor(images).to(device_or_default()), name=name
            ).tolist()
            for prompt, images in zip(prompts, groups, strict=True)
        ]


def paired_change(
    before: Sequence[Sequence[float]], after: Sequence[Sequence[float]], *, seed: int, draws: int = 10_000
) -> Change:
    """Compare two generators on the same prompts with the same seeds.

    The interval is the percentile bootstrap of the mean difference. Prompts are drawn, not images: images of
    one prompt are not independent.

    Args:
        before, after: for each prompt the scores of its images, in the same order of prompts and seeds.
        seed: of the draws.
    Raises: ValueError when the two do not match or are empty.
    Source: Efron and Tibshirani, An Introduction to the Bootstrap, 1993, chapters 8 and 13.
    """
    if not before or [len(scores) for scores in before] != [len(scores) for scores in after]:
        raise ValueError("both generators need scores of the same prompts and seeds, at least one")
    first = np.array([np.mean(scores) for scores in before])  # (B,)
    second = np.array([np.mean(scores) for scores in after])  # (B,)
    differences = second - first
    samples = resample(len(differences), seed=seed, resamples=draws)
    ends = interval(np.concatenate([differences[rows].mean(axis=1) for rows in samples]))
    return Change(
        before=float(first.mean()),
        after=float(second.mean()),
        low=ends.low,
        high=ends.high,
        prompts=len(differences),
        deviation=float(first.std()),
    )

"""The oracle's verdicts on a generator, whom annotators prefer, and how far they agree with one another."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from random import Random

import numpy as np
from PIL import Image

from annotation.statistics.estimates import Interval, wilson_interval
from demo.people import Person
from demo.world.oracle import Verdict, judge
from refl.drawing import draw
from refl.models import Generator
from rewardmodel.models import DatasetVersion, RewardCheckpoint
from rewardmodel.scoring import scorer
from rewardmodel.services.datasets import dataset_images

PARTS = ("score", "alignment", "taste", "cleanliness")
RIGHT, DIVERSITY = "shown rightly", "diversity"
IMAGES_EACH = 2  # of one caption


@dataclass(frozen=True)
class Judged:
    """The verdicts and rewards of one generator's images, in the order of captions and seeds.

    `differences` has for each caption the `difference` of every two of its images.
    """

    verdicts: list[list[Verdict]]
    rewards: list[list[float]]
    differences: list[list[float]]

    def scores(self, part: str) -> list[list[float]]:
        """Return the numbers of each caption.

        Args: part: "reward", RIGHT (1 for an image that shows all that its caption states), DIVERSITY, or a
            part of the oracle's verdict.
        """
        if part == "reward":
            return self.rewards
        if part == DIVERSITY:
            return self.differences
        attribute = "is_right" if part == RIGHT else part
        return [[float(getattr(verdict, attribute)) for verdict in verdicts] for verdicts in self.verdicts]

    def mean(self, part: str) -> float:
        values = [value for values in self.scores(part) for value in values]
        return sum(values) / len(values)


@dataclass(frozen=True)
class Preference:
    """How often annotators who do not know which is which prefer the second of two generators.

    The interval takes the pairs as independent. A pair that gets one slot is not decided.
    """

    preferred: int
    decided: int
    pairs: int

    @property
    def share(self) -> float:
        """Of the decided pairs. Raises: ZeroDivisionError when there are none."""
        return self.preferred / self.decided

    @property
    def interval(self) -> Interval:
        return wilson_interval(self.preferred, self.decided)


def judge_generator(generator: Generator, *, captions: Sequence[str], reward: RewardCheckpoint) -> Judged:
    """Sample every caption, as the generator is meant to be sampled from, and judge the images.

    Seeds follow from the captions, so two generators are compared image by image.
    """
    images_of = list(draw(generator, captions, each=IMAGES_EACH))
    return Judged(
        verdicts=[
            [judge(image, caption) for image in images]
            for caption, images in zip(captions, images_of, strict=True)
        ],
        rewards=scorer(reward).score_groups(captions, images_of),
        differences=[[difference(*pair) for pair in combinations(images, 2)] for images in images_of],
    )


def difference(first: Image.Image, second: Image.Image) -> float:
    """Root mean square of the difference of two images' pixels, each channel in 0..1.

    The diversity of a generator is its mean over pairs of one caption's images, which differ by their seeds.
    """
    a, b = (np.asarray(image.convert("RGB"), dtype=np.float64) / 255 for image in (first, second))
    return float(np.sqrt(np.mean((a - b) ** 2)))


def blind_preference(before: Judged, after: Judged, *, people: Sequence[Person], seed: int) -> Preference:
    """Let one of the people, drawn anew for each pair, place both images of a caption and seed.

    They see no more than the images: which comes first is drawn too.
    """
    generator = Random(seed)
    preferred = decided = pairs = 0
    for verdicts in zip(before.verdicts, after.verdicts, strict=True):
        for pair in zip(*verdicts, strict=True):
            annotator = generator.choice(people).annotator
            swapped = generator.random() < 0.5
            first, second = reversed(pair) if swapped else pair
            second_wins = annotator.prefers_second(first, second, generator)
            pairs += 1
            if second_wins is not None:
                decided += 1
                preferred += second_wins is not swapped
    return Preference(preferred, decided, pairs)


def annotators_ceiling(dataset: DatasetVersion, *, people: Sequence[Person], seed: int) -> float:
    """How often another annotator orders the test split's pairs as was recorded: what a model can hope for.

    A pair that the other one ties counts half.
    """
    from rewardmodel.learning.data.rankings import load_rankings

    right = pairs = 0.0
    generator = Random(seed)
    with dataset_images(dataset, splits=["test"]) as folder:
        for ranking in load_rankings(dataset.path, "test", folder):
            images = [Image.open(file).convert("RGB") for file in ranking.images]
            other = generator.choice(people).annotator.judge(images, ranking.prompt, generator).slots
            for i, j in combinations(range(len(images)), 2):
                recorded, again = ranking.places[i] - ranking.places[j], other[i] - other[j]
                if recorded:
                    pairs += 1
                    right += 0.5 if again == 0 else recorded * again > 0
    return right / pairs

"""The oracle's verdicts on a generator, and how far annotators agree with one another."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from random import Random

from PIL import Image

from demo.people import Person
from demo.world.oracle import Verdict, judge
from refl.drawing import draw
from refl.models import Generator
from rewardmodel.models import DatasetVersion, RewardCheckpoint
from rewardmodel.scoring import scorer
from rewardmodel.services.datasets import dataset_images

PARTS = ("score", "alignment", "taste", "cleanliness")
IMAGES_EACH = 2  # of one caption


@dataclass(frozen=True)
class Judged:
    """The verdicts and rewards of one generator's images, in the order of captions and seeds."""

    verdicts: list[list[Verdict]]
    rewards: list[list[float]]

    def scores(self, part: str) -> list[list[float]]:
        """One number an image. Args: part: "reward", or a part of the oracle's verdict."""
        if part == "reward":
            return self.rewards
        return [[getattr(verdict, part) for verdict in verdicts] for verdicts in self.verdicts]

    def mean(self, part: str) -> float:
        values = [value for values in self.scores(part) for value in values]
        return sum(values) / len(values)


def judge_generator(generator: Generator, *, captions: Sequence[str], reward: RewardCheckpoint) -> Judged:
    """Sample every caption, as the generator is meant to be sampled from, and judge the images.

    Seeds follow from the captions, so two generators are compared image by image.
    """
    drawn = list(draw(generator, captions, each=IMAGES_EACH))
    return Judged(
        verdicts=[
            [judge(image, caption) for image in images]
            for caption, images in zip(captions, drawn, strict=True)
        ],
        rewards=scorer(reward).score_groups(captions, drawn),
    )


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

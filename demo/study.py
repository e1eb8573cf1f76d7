"""The oracle's verdicts on a generator, whom annotators prefer, and how far they agree with one another."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from random import Random

import numpy as np
from PIL import Image

from annotation.statistics.estimates import (
    ENOUGH_PROMPTS,
    Estimate,
    Interval,
    interval,
    mean_over_prompts,
    resampled_shares,
)
from demo.people import Person
from demo.world.annotators import blind_votes
from demo.world.oracle import Verdict, judge_groups
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

    `diversity` has one number for each caption: how far its images are from one another.
    """

    verdicts: list[list[Verdict]]
    rewards: list[list[float]]
    diversity: list[list[float]]

    def scores(self, part: str) -> list[list[float]]:
        """Return the numbers of each caption.

        Args: part: "reward", RIGHT (1 for an image that shows all that its caption states), DIVERSITY, or a
            part of the oracle's verdict.
        """
        if part == "reward":
            return self.rewards
        if part == DIVERSITY:
            return self.diversity
        attribute = "is_right" if part == RIGHT else part
        return [[float(getattr(verdict, attribute)) for verdict in verdicts] for verdicts in self.verdicts]

    def win_rate(self, rival: Judged) -> Estimate:
        """Return how often the oracle scores an image above the rival's of the same seed, equal ones half.

        Raises: ValueError without a caption.
        """
        pairs = [
            (caption, mine, other)
            for caption, scores in enumerate(zip(self.scores("score"), rival.scores("score"), strict=True))
            for mine, other in zip(*scores, strict=True)
        ]
        captions = np.array([caption for caption, _, _ in pairs], np.int64)
        votes = np.array([0.5 + np.sign(mine - other) / 2 for _, mine, other in pairs], np.float64)
        estimate = mean_over_prompts(captions, votes, seed=0)
        if estimate is None:
            raise ValueError("no caption was judged")
        return estimate

    def mean(self, part: str) -> float:
        values = [value for values in self.scores(part) for value in values]
        return sum(values) / len(values)


@dataclass(frozen=True)
class Preference:
    """How often annotators who do not know which is which prefer the second of two generators.

    Attributes: votes: as `blind_votes` gives them. A pair that gets one slot is not decided.
    """

    votes: list[list[int]]

    @property
    def pairs(self) -> int:
        return sum(map(len, self.votes))

    @property
    def decided(self) -> int:
        return sum(vote != 0 for votes in self.votes for vote in votes)

    @property
    def share(self) -> float:
        """Of the decided pairs. Raises: ZeroDivisionError when there are none."""
        return sum(vote > 0 for votes in self.votes for vote in votes) / self.decided

    @property
    def interval(self) -> Interval | None:
        """Of the share, over captions; None where too few have a decided pair."""
        preferred, decided = (
            np.array([sum(map(counts, votes)) for votes in self.votes], dtype=np.float64)
            for counts in (lambda vote: vote > 0, lambda vote: vote != 0)
        )  # (captions,) each
        counted = decided > 0
        if counted.sum() < ENOUGH_PROMPTS:
            return None
        return interval(resampled_shares(preferred[counted], decided[counted], seed=0))


def judge_generator(generator: Generator, *, captions: Sequence[str], reward: RewardCheckpoint) -> Judged:
    """Sample every caption, as the generator is meant to be sampled from, and judge the images.

    Seeds follow from the captions, so two generators are compared image by image.
    """
    from refl.learning.figures import diversity_of_pictures

    images_of = list(draw(generator, captions, each=IMAGES_EACH))
    return Judged(
        verdicts=judge_groups(captions, images_of),
        rewards=scorer(reward).score_groups(captions, images_of),
        diversity=[[value] for value in diversity_of_pictures(images_of)],
    )


def blind_preference(before: Judged, after: Judged, *, people: Sequence[Person], seed: int) -> Preference:
    """Let the people say of each caption and seed whose image they prefer."""
    annotators = [person.annotator for person in people]
    return Preference(blind_votes(before.verdicts, after.verdicts, annotators, Random(seed)))


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

"""When a training is said to learn nothing, compared with intervals counted out."""

import math
import random

import pytest

from rewardmodel.learning.stagnation import (
    LEAST_LOSSES,
    independent_comparisons,
    share_interval,
    why_nothing_is_learned,
)


def noisy(levels):
    chance = random.Random(3)
    return [level + chance.gauss(0, 0.02) for level in levels]


FALLING = noisy(0.69 - 0.002 * step for step in range(90))
FLAT = noisy([0.69] * 90)


def why(losses=FALLING, accuracies=(0.7,), steps=90, comparisons=200.0):
    return why_nothing_is_learned(losses, accuracies, steps=steps, comparisons=comparisons)


@pytest.mark.parametrize(("share", "count"), [(0.5, 40), (0.62, 150), (1.0, 10), (0.0, 25)])
def test_the_interval_holds_the_shares_that_the_trials_do_not_contradict(share, count):
    """Its ends p solve (share - p)^2 = z^2 p (1 - p) / count; found here by halving."""

    def contradiction(p):
        return (share - p) ** 2 - 1.96**2 * p * (1 - p) / count

    def root(inside, outside):
        for _ in range(80):
            middle = (inside + outside) / 2
            inside, outside = (middle, outside) if contradiction(middle) <= 0 else (inside, middle)
        return inside

    interval = share_interval(share, count)
    centre = (share + 1.96**2 / (2 * count)) / (1 + 1.96**2 / count)
    assert interval.low == pytest.approx(root(centre, 0.0), abs=1e-9)
    assert interval.high == pytest.approx(root(centre, 1.0), abs=1e-9)


@pytest.mark.parametrize("images", [2, 3, 5, 9])
def test_a_ranking_counts_as_one_comparison_less_than_it_has_images(images):
    assert independent_comparisons(7, 7 * math.comb(images, 2)) == pytest.approx(7 * (images - 1))
    assert independent_comparisons(0, 0) == 0


def test_a_falling_loss_and_an_accuracy_above_chance_raise_no_alarm():
    assert why() == ""


def test_an_accuracy_whose_interval_holds_chance_raises_it_and_the_best_one_counts():
    said = why(accuracies=(0.49, 0.55, 0.51))
    assert said.startswith("no validation was better than chance: the best one ordered 55.0 % of the pairs")
    assert why(accuracies=(0.49, 0.58, 0.51)) == ""
    assert "chance" in why(accuracies=(0.58,), comparisons=100)


def test_a_loss_that_stays_where_it_was_raises_it_however_accurate_the_model_began():
    assert why(losses=FLAT).startswith("the loss does not fall: 0.68")
    assert why(losses=FALLING[::-1]).startswith("the loss does not fall")


@pytest.mark.parametrize(
    "early",
    [
        {"accuracies": ()},
        {"losses": FLAT[:29], "accuracies": (0.5,)},
        {"losses": FLAT[: 3 * LEAST_LOSSES - 1], "steps": 3 * LEAST_LOSSES},
    ],
)
def test_nothing_is_said_too_early(early):
    assert why(**early) == ""

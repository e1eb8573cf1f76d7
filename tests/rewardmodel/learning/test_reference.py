"""What a reward is read against: percentiles and probabilities that anybody can check."""

import json
import math
from dataclasses import asdict

import numpy as np
import pytest

from rewardmodel.learning.reference import LEVELS, Reference, standings

REWARDS = np.random.default_rng(4).normal(size=400)
MARGINS = np.random.default_rng(5).normal(0.7, 1.0, size=900)
REFERENCE = Reference.of(REWARDS, MARGINS)


def sigmoid(margin):
    return 1 / (1 + math.exp(-margin))


@pytest.mark.parametrize("reward", [-1.7, -0.2, 0.0, 0.9, 2.1])
def test_a_percentile_is_the_share_of_the_reference_images_below(reward):
    counted = 100 * sum(other < reward for other in REWARDS) / len(REWARDS)
    assert REFERENCE.percentile(reward) == pytest.approx(counted, abs=0.6)


def test_beyond_all_reference_images_it_is_0_or_100():
    assert (REFERENCE.percentile(-99), REFERENCE.percentile(99)) == (0, 100)
    assert REFERENCE.median == pytest.approx(float(np.median(REWARDS)))


def test_preference_is_the_sigmoid_of_the_difference_at_the_temperature():
    hot = REFERENCE.temperature
    assert REFERENCE.preferred(1.0, over=0.25) == pytest.approx(sigmoid(0.75 / hot))
    assert REFERENCE.preferred(1.0) == pytest.approx(sigmoid((1.0 - REFERENCE.median) / hot))
    assert REFERENCE.preferred(0.3, over=0.3) == 0.5
    assert REFERENCE.preferred(-1e6) == 0.0 < REFERENCE.preferred(1e6) == 1.0


def test_the_temperature_has_the_lowest_loss_of_all_tried():
    margins = [*MARGINS, -math.sqrt(sum(margin**2 for margin in MARGINS) / len(MARGINS))]

    def loss(temperature):
        return sum(math.log1p(math.exp(-margin / temperature)) for margin in margins)

    around = [REFERENCE.temperature * factor for factor in (0.8, 0.97, 1.03, 1.25)]
    assert all(loss(REFERENCE.temperature) < loss(other) for other in around)


def test_a_few_pairs_that_are_all_right_make_no_model_certain():
    few = Reference.of(np.arange(6.0), np.ones(5))
    assert 0.7 < few.preferred(1.0, over=0.0) < 0.9


def test_it_is_read_back_from_json_and_what_is_broken_is_refused():
    written = json.loads(json.dumps(asdict(REFERENCE)))
    assert Reference.from_dict(written) == REFERENCE
    short, broken = [0.0] * (LEVELS - 1), [math.nan] * LEVELS
    for wrong in ({"quantiles": short}, {"temperature": 0}, {"quantiles": broken}):
        with pytest.raises(ValueError, match="finite quantiles and a temperature"):
            Reference.from_dict({**written, **wrong})


def test_without_a_reference_or_a_reward_nothing_is_said():
    assert standings(None, [0.5]) == [None]
    [nothing, standing] = standings(REFERENCE, [None, 0.5], over=0.5)
    assert (nothing, standing.preferred) == (None, 0.5)

"""How unsure a reward model is of the order of some images."""

import math

import pytest

from annotation.statistics.uncertainty import mean_pair_entropy


def test_the_entropy_is_the_sum_written_out():
    rewards = [0.3, -1.2, 2.0]
    expected = 0.0
    for first, second in ((0, 1), (0, 2), (1, 2)):
        p = 1 / (1 + math.exp(-(rewards[first] - rewards[second])))
        expected -= p * math.log(p) + (1 - p) * math.log(1 - p)
    assert mean_pair_entropy(rewards) == pytest.approx(expected / 3, abs=1e-12)


def test_images_of_equal_reward_leave_the_model_as_unsure_as_can_be():
    assert mean_pair_entropy([1.5, 1.5, 1.5]) == pytest.approx(math.log(2))


def test_the_order_of_the_images_does_not_matter():
    assert mean_pair_entropy([0.0, 1.0, 3.0]) == pytest.approx(mean_pair_entropy([3.0, 0.0, 1.0]))


def test_a_huge_margin_is_certainty_and_no_overflow():
    assert mean_pair_entropy([-5000.0, 5000.0]) == 0.0


def test_one_image_has_no_order_to_be_unsure_of():
    with pytest.raises(ValueError, match="fewer than two"):
        mean_pair_entropy([1.0])

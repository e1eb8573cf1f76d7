"""Who is right how often, found without knowing the truth."""

import numpy as np
import pytest

from annotation.statistics.panels import panels
from annotation.statistics.reliability import reliability
from tests.annotation.statistics.simulated import crowd, placements


def test_people_are_told_apart_by_how_often_they_are_right():
    """Noise s gives a right preference with probability 1/2 + arctan(1/s) / pi; None guesses."""
    noises = [0.25, 0.5, 1.0, 2.0, None]
    found = reliability(panels(crowd(400, noises, seed=3)), 5)
    true = [0.5 if s is None else 0.5 + np.arctan(1 / s) / np.pi for s in noises]
    assert found.right == pytest.approx(true, abs=0.06)
    assert found.verdicts.tolist() == [400 * 6] * 5


def test_three_opinions_a_prompt_are_enough_to_find_who_guesses():
    found = reliability(panels(crowd(300, [0.5, 0.5, 0.5, 0.5, None], opinions=3, seed=1)), 5)
    assert found.right[:4].min() > 0.75
    assert found.right[4] < 0.6


def test_who_guesses_weighs_next_to_nothing_and_weights_are_1_on_average():
    found = reliability(panels(crowd(300, [0.5, 0.5, 0.5, None], seed=1)), 4)
    assert found.weights[3] < 0.2
    assert found.weights.mean() == pytest.approx(1)


def test_who_shares_no_pair_with_others_keeps_the_value_everybody_starts_with():
    up = {1: 1, 2: 2}
    alone = reliability(panels(placements((0, 0, up), (1, 1, {3: 1, 4: 2}))), 3)
    assert alone.right.tolist() == [0.8, 0.8, 0.8]
    assert alone.verdicts.tolist() == [0, 0, 0]
    assert alone.weights.tolist() == [1, 1, 1]


def test_ones_own_repeated_answer_is_nobody_elses():
    up = {1: 1, 2: 2}
    assert reliability(panels(placements((0, 0, up), (0, 0, up))), 1).verdicts.tolist() == [0]


def test_a_tie_says_nothing_of_who_is_right():
    tied = reliability(panels(placements((0, 0, {1: 1, 2: 1}), (0, 1, {1: 1, 2: 2}))), 2)
    assert tied.verdicts.tolist() == [0, 0]

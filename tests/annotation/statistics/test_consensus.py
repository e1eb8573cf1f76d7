"""Several opinions on a prompt put together: more of them are surer, and who guesses counts little."""

import numpy as np
import pytest

from annotation.statistics.consensus import consensus
from annotation.statistics.panels import panels
from annotation.statistics.reliability import reliability
from tests.annotation.statistics.simulated import crowd, placements

UP, DOWN = {1: 1, 2: 2}, {1: 2, 2: 1}


def margin(*rankings, weights=(1.0, 1.0, 1.0)):
    strengths, _ = consensus(panels(placements(*rankings)), np.array(weights))
    return strengths[1] - strengths[2]


def test_more_opinions_that_agree_are_surer_and_opposite_ones_cancel():
    alone = margin((0, 0, UP))
    assert 0 < alone < margin((0, 0, UP), (0, 1, UP)) < margin((0, 0, UP), (0, 1, UP), (0, 2, UP))
    assert margin((0, 0, UP), (0, 1, DOWN)) == pytest.approx(0)


def test_an_opinion_counts_by_its_weight():
    assert margin((0, 0, UP), (0, 1, DOWN), weights=(1.5, 0.5, 1)) > 0
    assert margin((0, 0, UP), (0, 1, DOWN), weights=(0.0, 1, 1)) == margin((0, 1, DOWN))


def test_a_tie_draws_images_together():
    assert 0 < margin((0, 0, UP), (0, 1, {1: 1, 2: 1})) < margin((0, 0, UP))


def test_prompts_of_different_sizes_are_fitted_each_by_itself():
    more = {3: 1, 4: 2, 5: 3}
    strengths, _ = consensus(panels(placements((0, 0, UP), (1, 0, more))), np.ones(1))
    assert strengths[1] > strengths[2]
    assert strengths[3] > strengths[4] > strengths[5]
    assert sum(strengths[image] for image in more) == pytest.approx(0)


def test_nobodys_opinions_are_no_consensus():
    assert consensus([], np.ones(0)) == ({}, 1.0)


def test_weighing_by_reliability_comes_nearer_to_the_truth_than_counting_heads():
    """Two who see well among three who guess."""
    placed = crowd(200, [0.4, 0.4, None, None, None], seed=2)
    found = panels(placed)
    truth = dict(zip(placed.images.tolist(), placed.scores.tolist(), strict=True))

    def right(weights):
        strengths, _ = consensus(found, weights)
        pairs = [(10 * p + i, 10 * p + j) for p in range(200) for i in range(4) for j in range(i)]
        return np.mean([(strengths[a] > strengths[b]) == (truth[a] > truth[b]) for a, b in pairs])

    assert right(reliability(found, 5).weights) > right(np.ones(5)) + 0.05

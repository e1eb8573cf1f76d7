"""How probable it is that one model is better, against sums written out; and when that is enough."""

from math import comb, erf, sqrt

import numpy as np
import pytest

from annotation.statistics.superiority import (
    LEAST_PROMPTS,
    PATIENCE,
    Decision,
    Lead,
    Rule,
    probability_better,
    required_size,
)

RULE = Rule(probability=0.95, pairs=100)


def probability(*gains):
    return probability_better(np.array(gains, np.float64), seed=0)


def beta_above_half(wins, losses):
    """P(x > 1/2) of Beta(wins + 1, losses + 1), by the binomial sum."""
    tosses = wins + losses + 1
    return sum(comb(tosses, k) for k in range(wins + 1)) / 2**tosses


@pytest.mark.parametrize(("wins", "losses"), [(1, 0), (5, 0), (12, 5), (3, 9), (60, 40)])
def test_where_prompts_differ_by_the_same_it_is_the_sign_tests_posterior(wins, losses):
    gains = [2.0] * wins + [-2.0] * losses + [0.0] * 30
    assert probability(*gains) == pytest.approx(beta_above_half(wins, losses), abs=0.007)


def test_unequal_gains_are_weighted_as_drawing_every_prompts_weight_does():
    rng = np.random.default_rng(5)
    gains = rng.integers(-3, 5, size=40).astype(np.float64)
    typical = sqrt(np.mean(gains[gains != 0] ** 2))
    weights = rng.exponential(size=(40_000, 42))  # Dirichlet, but for the sum, which does not change a sign
    drawn = (weights * [*gains, typical, -typical]).sum(axis=1) > 0
    assert probability(*gains) == pytest.approx(drawn.mean(), abs=0.01)


def test_who_is_as_good_is_as_probably_better_as_worse_and_the_two_ways_round_add_up_to_one():
    assert probability() == probability(0, 0, 0) == 0.5
    gains = [1, 2, -1, 3, 0, 0, -2, 1]
    assert probability(*gains) + probability(*(-gain for gain in gains)) == pytest.approx(1, abs=0.01)
    assert probability(*gains) == probability(*gains)


def test_two_prompts_that_agree_are_no_certainty():
    assert probability(4, 4) == pytest.approx(0.875, abs=0.006)


@pytest.mark.parametrize("prompts", [8, 40])
def test_equal_models_are_called_better_about_as_seldom_as_the_rule_says(prompts):
    """Three pairs a prompt, right by lot for both."""
    rng = np.random.default_rng(1)
    called = 0
    for _ in range(800):
        gains = rng.binomial(3, 0.6, size=prompts) - rng.binomial(3, 0.6, size=prompts)
        called += probability_better(gains.astype(np.float64), seed=0, draws=2000) >= 0.95
    assert 0.02 < called / 800 < 0.075


def test_the_size_that_a_lead_needs_grows_with_the_square_of_what_is_lacking():
    one_sigma = (1 + erf(1 / sqrt(2))) / 2
    two_sigma = (1 + erf(2 / sqrt(2))) / 2
    assert required_size(100, one_sigma, two_sigma) == pytest.approx(400, abs=1)
    assert required_size(100, 0.99, 0.95) == 100
    assert required_size(100, 0.5, 0.95) is None


@pytest.mark.parametrize(
    ("lead", "decision", "pairs"),
    [
        (Lead(0.055, 0.997, 807, 147), Decision.BETTER, 0),
        (Lead(-0.006, 0.31, 1217, 224), Decision.NOT_BETTER, 0),
        (Lead(0.092, 0.94, 162, 29), Decision.UNDECIDED, 182),
        (Lead(0.2, 0.999, 60, 30), Decision.UNDECIDED, 100),  # clear, but on too few pairs
        (Lead(0.2, 0.999, 300, LEAST_PROMPTS // 2), Decision.UNDECIDED, 600),  # or on too few prompts
        (Lead(-0.01, 0.4, 60, 30), Decision.UNDECIDED, 100),  # too few to say that it is worse
        (Lead(-0.3, 0.01, 60, 30), Decision.NOT_BETTER, 0),
        (Lead(0.001, 0.55, 400, 80), Decision.NOT_BETTER, 0),  # not worth waiting for
        (Lead(0.0, 0.5, 400, 80), Decision.NOT_BETTER, 0),
    ],
)
def test_a_lead_is_enough_or_waits_for_more_pairs_or_is_none(lead, decision, pairs):
    assert RULE.decide(lead) == (decision, pairs)


def test_a_model_that_is_exactly_as_good_is_not_better_whatever_is_wanted():
    more_likely_than_not = Rule(probability=0.5, pairs=100)
    assert more_likely_than_not.decide(Lead(0.0, 0.5, 400, 80)) == (Decision.NOT_BETTER, 0)
    assert more_likely_than_not.decide(Lead(0.001, 0.51, 400, 80)) == (Decision.BETTER, 0)
    assert RULE.decide(Lead(0.0, 0.96, 400, 80)) == (Decision.NOT_BETTER, 0)


def test_what_waits_never_waits_for_more_than_its_patience():
    for probability in np.linspace(0.05, 0.999, 40):
        decision, pairs = RULE.decide(Lead(0.01, float(probability), 200, 40))
        assert pairs <= PATIENCE * 200
        assert (decision == Decision.UNDECIDED) == (pairs > 200)

"""Strengths from comparisons with ties: known values, the likelihood, and recovery from simulation."""

import numpy as np
import pytest

from annotation.statistics.davidson import fit, outcomes


def tables(*games, items=2):
    """(i, j, times i won, times they tied) -> wins and ties of one set."""
    wins, ties = np.zeros((1, items, items)), np.zeros((1, items, items))
    for i, j, won, tied in games:
        wins[0, i, j] += won
        ties[0, i, j] += tied
        ties[0, j, i] += tied
    return wins, ties


def test_two_without_ties_have_the_log_odds_of_winning_between_them():
    wins, ties = tables((0, 1, 30_000, 0), (1, 0, 10_000, 0))
    found = fit(wins, ties, prior=1e-9).strengths[0]
    assert found[0] - found[1] == pytest.approx(np.log(3), abs=1e-3)
    assert found.sum() == pytest.approx(0)


def test_two_with_ties_are_fitted_exactly():
    """Three outcomes, two parameters that reach any of them: 50, 30 and 20 of 100, so nearly the shares."""
    wins, ties = tables((0, 1, 5000, 3000), (1, 0, 2000, 0))
    found = fit(wins, ties, prior=1e-9)
    win, draw = outcomes(np.array([[found.strengths[0, 0] - found.strengths[0, 1]]]), found.tie[:, None])
    assert (win.item(), draw.item()) == pytest.approx((0.5, 0.3), abs=1e-3)
    assert found.preferred()[0, 0, 1] == pytest.approx(0.65, abs=1e-3)


def test_nothing_near_the_fit_is_more_likely():
    generator = np.random.default_rng(0)
    wins = generator.integers(0, 9, (1, 4, 4)) * (1 - np.eye(4))
    ties = generator.integers(0, 5, (1, 4, 4)) * (1 - np.eye(4))
    ties = ties + ties.transpose(0, 2, 1)
    found = fit(wins, ties, prior=0.3)

    def likelihood(strengths, tie):
        total = 0.5 * np.log(tie / (2 + tie)) + 0.5 * np.log(2 / (2 + tie)) - 0.15 * (strengths**2).sum()
        for i in range(4):
            for j in range(4):
                margin = strengths[i] - strengths[j]
                every = np.exp(margin / 2) + np.exp(-margin / 2) + tie
                total += wins[0, i, j] * np.log(np.exp(margin / 2) / every)
                total += ties[0, i, j] / 2 * np.log(tie / every)
        return total

    best = likelihood(found.strengths[0], found.tie[0])
    for _ in range(200):
        nudge = generator.normal(scale=0.02, size=4)
        assert likelihood(found.strengths[0] + nudge, found.tie[0] * np.exp(nudge[0])) < best


def test_known_strengths_are_recovered_from_simulated_comparisons():
    generator = np.random.default_rng(1)
    truth, tie, games = np.array([1.2, 0.4, 0.0, -0.5, -1.1]), 0.6, 2000
    wins, ties = np.zeros((1, 5, 5)), np.zeros((1, 5, 5))
    for i in range(5):
        for j in range(i + 1, 5):
            win, draw = outcomes(truth[i] - truth[j], tie)
            won, tied, lost = generator.multinomial(games, [win, draw, 1 - win - draw])
            wins[0, i, j], wins[0, j, i], ties[0, i, j], ties[0, j, i] = won, lost, tied, tied
    found = fit(wins, ties, prior=0.01)
    assert found.strengths[0] == pytest.approx(truth - truth.mean(), abs=0.06)
    assert found.tie[0] == pytest.approx(tie, abs=0.05)


def test_a_lone_preference_says_no_more_than_one_person_can():
    """With a standard normal prior: about as often as one person agrees with another (65 % in the paper)."""
    wins, ties = tables((0, 1, 1, 0))
    assert 0.6 < fit(wins, ties, prior=1.0).preferred()[0, 0, 1] < 0.7


def test_who_never_lost_has_a_finite_strength_and_who_never_met_anybody_has_none():
    wins, ties = tables((0, 1, 500, 0), items=3)
    found = fit(wins, ties, prior=0.1).strengths[0]
    assert np.isfinite(found).all()
    assert found[0] > 2
    assert found[2] == pytest.approx(0)


def test_sets_are_fitted_by_themselves_unless_they_share_how_readily_they_tie():
    one, two = tables((0, 1, 40, 40), (1, 0, 20, 0)), tables((0, 1, 70, 0), (1, 0, 30, 0))
    wins, ties = np.concatenate([one[0], two[0]]), np.concatenate([one[1], two[1]])
    apart = fit(wins, ties, prior=0.1)
    assert apart.tie[0] > 10 * apart.tie[1]
    alone = fit(*one, prior=0.1)
    assert apart.strengths[0] == pytest.approx(alone.strengths[0], abs=1e-5)
    shared = fit(wins, ties, prior=0.1, shared_tie=True)
    assert shared.tie[0] == shared.tie[1]
    assert apart.tie[1] < shared.tie[0] < apart.tie[0]

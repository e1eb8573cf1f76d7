"""Intervals that hold however often one looks: against plain sums, simulations, and what is known of them."""

import math
import random

import numpy as np
import pytest

from annotation.statistics.sequential import (
    FRACTIONS,
    HALF,
    confidence_interval,
    fixed_votes,
    log_wealth,
    power_at,
    rich,
)


def wealth(observations, mean):
    """The wealth of somebody who bets, observation by observation, in plain Python."""
    purses = [1 / len(FRACTIONS)] * len(FRACTIONS)
    for value in observations:
        purses = [
            purse * (1 + f * (value - mean) / mean)
            for purse, f in zip(purses, map(float, FRACTIONS), strict=True)
        ]
    return sum(purses)


def counted(observations):
    values, counts = np.unique(observations, return_counts=True)
    return counts.astype(float), values


@pytest.mark.parametrize("mean", [0.2, 0.5, 0.9])
def test_the_wealth_is_that_of_bets_placed_one_after_the_other(mean):
    observations = [1.0, 0.0, 0.5, 1.0, 0.25, 1.0, 0.0, 1.0]
    assert math.exp(log_wealth(*counted(observations), mean)) == pytest.approx(wealth(observations, mean))


def test_no_bet_gains_on_average_where_the_mean_is_as_doubted():
    # Over every sequence of four votes on equals, by its probability.
    expected = sum(wealth([number >> bit & 1 for bit in range(4)], HALF) / 16 for number in range(16))
    assert expected == pytest.approx(1)


def test_the_interval_is_the_means_that_nobody_became_rich_against():
    luck = random.Random(3)
    observations = [luck.choice([0.0, 0.5, 1.0, 1.0]) for _ in range(60)]
    interval = confidence_interval(np.array(observations), confidence=0.9)
    mirrored = [1 - value for value in observations]
    survivors = [
        mean
        for mean in (number / 1000 for number in range(1, 1000))
        if max(wealth(observations, mean), wealth(mirrored, 1 - mean)) < 2 / 0.1
    ]
    assert interval.low == pytest.approx(survivors[0], abs=0.001)
    assert interval.high == pytest.approx(survivors[-1], abs=0.001)


def test_without_a_vote_every_rate_is_possible():
    interval = confidence_interval(np.array([]), confidence=0.95)
    assert (interval.low, interval.high) == (pytest.approx(0), pytest.approx(1))


def test_the_order_of_votes_changes_nothing_and_ties_make_it_narrower():
    votes = np.array([1.0] * 30 + [0.0] * 20)
    shuffled = np.random.default_rng(0).permutation(votes)
    assert confidence_interval(votes, confidence=0.95) == confidence_interval(shuffled, confidence=0.95)
    tied = confidence_interval(np.array([1.0] * 15 + [0.0] * 5 + [0.5] * 30), confidence=0.95)
    untied = confidence_interval(votes, confidence=0.95)
    assert tied.high - tied.low < untied.high - untied.low


def test_looking_after_every_vote_names_a_winner_among_equals_in_5_of_100_studies_at_most():
    votes = np.random.default_rng(5).random((400, 300)) < HALF
    wins = votes.cumsum(axis=1)
    counts = np.stack([np.arange(1, 301) - wins, wins], axis=-1).astype(float)  # (studies, votes, 2)
    values = np.array([0.0, 1.0])
    either = np.maximum(log_wealth(counts, values, HALF), log_wealth(counts[..., ::-1], values, HALF))
    assert (either >= rich(0.95)).any(axis=1).mean() <= 0.05


def test_a_fixed_number_of_votes_is_the_textbooks():
    # Fleiss, Levin and Paik's formula for 60 % against one half, 5 %, 80 %: 193.8.
    assert fixed_votes(0.6, confidence=0.95) == 194


def test_forecasts_of_a_studys_length_are_what_simulated_studies_take():
    power = power_at(0.7, confidence=0.95, votes=60)
    luck, lengths, mistaken = random.Random(1), [], 0
    for _ in range(300):
        wins = losses = 0
        while True:
            won = luck.random() < 0.7
            wins, losses = wins + won, losses + (not won)
            counts = np.array([losses, wins], float)
            up = log_wealth(counts, np.array([0.0, 1.0]), HALF) >= rich(0.95)
            down = log_wealth(counts[::-1], np.array([0.0, 1.0]), HALF) >= rich(0.95)
            if up or down:
                break
        lengths.append(wins + losses)
        mistaken += bool(down)
    assert power.mean == pytest.approx(np.mean(lengths), rel=0.1)
    assert power.median == pytest.approx(np.median(lengths), rel=0.15)
    assert power.most == pytest.approx(np.quantile(lengths, 0.8), rel=0.15)
    assert power.chance == pytest.approx(np.mean(np.array(lengths) <= 60), abs=0.08)
    assert mistaken / 300 < 0.02
    assert power.mistaken < 0.001


def test_a_study_without_votes_decides_nothing():
    assert power_at(0.7, confidence=0.95, votes=0).chance == 0
    assert power_at(0.7, confidence=0.95).chance is None

"""Win rates by prompts, against sums written out in plain Python."""

import random
from collections import defaultdict

import numpy as np
import pytest

from annotation.statistics.estimates import Interval
from annotation.statistics.sequential import confidence_interval
from annotation.statistics.win_rates import verdict, win_rate


def test_a_rate_is_the_mean_over_prompts_whose_votes_are_all_in():
    luck = random.Random(2)
    rows = [(luck.randrange(20), luck.choice([0.0, 0.5, 1.0])) for _ in range(80)]
    waiting = {3, 7}
    by_prompt = defaultdict(list)
    for prompt, vote in rows:
        if prompt not in waiting:
            by_prompt[prompt].append(vote)
    means = [sum(votes) / len(votes) for votes in by_prompt.values()]
    rate = win_rate(
        np.array([prompt for prompt, _ in rows]),
        np.array([vote for _, vote in rows]),
        np.array([prompt not in waiting for prompt, _ in rows]),
        confidence=0.95,
    )
    assert rate.value == pytest.approx(sum(means) / len(means))
    assert rate.prompts == len(means)
    assert (rate.wins, rate.losses, rate.ties) == tuple(
        sum(vote == value for _, vote in rows) for value in (1.0, 0.0, 0.5)
    )
    expected = confidence_interval(np.array(means), confidence=0.95)
    assert (rate.interval.low, rate.interval.high) == pytest.approx((expected.low, expected.high))


def test_votes_on_one_prompt_count_as_one_observation():
    one_each = win_rate(np.arange(12), np.ones(12), np.ones(12, bool), confidence=0.95)
    all_on_one = win_rate(np.zeros(12, int), np.ones(12), np.ones(12, bool), confidence=0.95)
    assert one_each.interval.low > 0.5 > all_on_one.interval.low
    assert (one_each.prompts, all_on_one.prompts) == (12, 1)


def test_without_a_vote_there_is_no_rate_and_every_one_is_possible():
    rate = win_rate(np.zeros(0, int), np.zeros(0), np.zeros(0, bool), confidence=0.95)
    assert (rate.value, rate.votes, rate.prompts) == (None, 0, 0)
    assert (rate.interval.low, rate.interval.high) == (pytest.approx(0), pytest.approx(1))


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [(0.51, 0.9, "better"), (0.1, 0.49, "worse"), (0.42, 0.58, "equal"), (0.3, 0.6, "open"), (0, 1, "open")],
)
def test_a_verdict_is_what_the_whole_interval_says(low, high, expected):
    assert verdict(Interval(low, high), margin=0.1) == expected

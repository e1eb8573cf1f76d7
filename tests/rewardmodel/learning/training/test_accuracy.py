"""The accuracy on the validation split and its interval."""

import random

import pytest

from rewardmodel.learning.training.accuracy import accuracy_over_prompts


def counts(prompts):
    """Two rankings of each prompt, of 6 pairs and of 3."""
    chance = random.Random(0)
    rows = [(f"prompt {n}", chance.randint(0, 6), 6) for n in range(prompts)]
    return rows + [(f"prompt {n}", chance.randint(0, 3), 3) for n in range(prompts)]


def test_the_interval_resamples_prompts_with_all_their_rankings():
    rows = counts(30)
    accuracy, (low, high) = accuracy_over_prompts(rows)
    assert accuracy == sum(right for _, right, _ in rows) / 270
    by_prompt = [rows[n][1] + rows[30 + n][1] for n in range(30)]  # each of 9 pairs
    chance = random.Random(1)
    drawn = sorted(sum(chance.choices(by_prompt, k=30)) / 270 for _ in range(4000))
    assert (low, high) == pytest.approx((drawn[100], drawn[3900]), abs=0.015)


def test_the_order_of_the_rankings_does_not_matter():
    rows = counts(12)
    assert accuracy_over_prompts(rows[::-1]) == accuracy_over_prompts(rows)


def test_of_a_few_prompts_there_is_no_interval():
    assert accuracy_over_prompts(counts(9))[1] is None

"""Whether a place on the page is preferred, compared with shares counted by hand."""

import pytest

from annotation.statistics.estimates import NotEnough
from annotation.statistics.positions import Wins, preferred_by_position


def answers(count, first, second):
    """`count` prompts with two images: wins of the first and of the second."""
    return [
        row
        for prompt in range(count)
        for row in (Wins(prompt, 1, 1, first(prompt), 1), Wins(prompt, 2, 1, second(prompt), 1))
    ]


def test_a_place_that_wins_three_quarters_of_its_pairs_is_biased():
    figures = preferred_by_position(answers(80, lambda p: p % 4 > 0, lambda p: p % 4 == 0))
    assert [(one.position, one.images, one.preferred.value) for one in figures] == [
        (1, 80, 0.75),
        (2, 80, 0.25),
    ]
    assert [one.bias for one in figures] == [1, -1]
    first, second = (one.preferred for one in figures)
    assert first.low == pytest.approx(1 - second.high, abs=1e-6)  # both are of the same resamples
    # Two standard errors of a share of 80: sqrt(0.75 * 0.25 / 80) is 0.048.
    assert first.low == pytest.approx(0.75 - 1.96 * 0.0484, abs=0.02)


def test_places_that_win_half_of_their_pairs_are_not_biased():
    figures = preferred_by_position(answers(80, lambda p: p % 2, lambda p: 1 - p % 2))
    assert [(one.preferred.value, one.bias) for one in figures] == [(0.5, 0), (0.5, 0)]


def test_of_few_prompts_nothing_is_said():
    first, _ = preferred_by_position(answers(9, lambda p: 1, lambda p: 0))
    assert first.preferred == NotEnough("9 of 10 prompts")
    assert first.bias is None
    assert preferred_by_position([]) == []

"""Whether the best image stands at one place on the page too often."""

import random

import pytest
from scipy.stats import chi2

from annotation.statistics.places import chi_square_tail, compare_places


@pytest.mark.parametrize("freedom", [1, 2, 3, 5, 8, 31])
@pytest.mark.parametrize("statistic", [0.0, 0.5, 4.0, 60.0])
def test_the_tail_is_that_of_the_chi_square_distribution(statistic, freedom):
    assert chi_square_tail(statistic, freedom) == pytest.approx(chi2.sf(statistic, freedom), abs=1e-12)


def test_the_statistic_is_pearsons_over_all_groups():
    four = [(4, 0)] * 40 + [(4, 1)] * 20 + [(4, 2)] * 20 + [(4, 3)] * 20  # (15² + 3 * 5²) / 25 = 12
    two = [(2, 0)] * 30 + [(2, 1)] * 20  # 2 * 5² / 25 = 2
    test = compare_places(four + two)
    assert test.answers == 150
    assert test.p == pytest.approx(chi2.sf(12 + 2, 3 + 1))


def test_groups_with_too_few_answers_a_place_say_nothing():
    assert compare_places([(4, 0)] * 19) == (0, None)
    assert compare_places([(4, 0)] * 19 + [(2, 0), (2, 1)] * 5).answers == 10


def test_who_always_prefers_the_first_place_is_found_and_who_judges_is_not():
    assert compare_places([(4, 0)] * 30).p < 1e-9
    chance = random.Random(1)
    fair = [compare_places([(4, chance.randrange(4)) for _ in range(100)]).p for _ in range(300)]
    assert 0.02 < sum(p < 0.05 for p in fair) / 300 < 0.09

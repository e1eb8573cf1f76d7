"""Whether the best image stands at one place on the page too often."""

import random
from math import exp

import pytest

from annotation.statistics.places import chi_square_tail, compare_places


# scipy 1.17's scipy.stats.chi2.sf
@pytest.mark.parametrize(
    ("statistic", "freedom", "tail"),
    [
        (0.0, 1, 1.0),
        (0.5, 1, 0.47950012218695337),
        (4.0, 1, 0.04550026389635857),
        (60.0, 1, 9.485737571073857e-15),
        (4.0, 2, 0.1353352832366127),
        (0.5, 3, 0.9188914116546758),
        (4.0, 3, 0.26146412994911117),
        (60.0, 3, 5.878230727906921e-13),
        (4.0, 5, 0.5494159513527802),
        (4.0, 8, 0.857123460498547),
        (60.0, 8, 4.661032000779303e-10),
        (4.0, 31, 0.9999999986263786),
        (60.0, 31, 0.0013497859785251331),
    ],
)
def test_the_tail_is_that_of_the_chi_square_distribution(statistic, freedom, tail):
    assert chi_square_tail(statistic, freedom) == pytest.approx(tail, rel=1e-9, abs=1e-15)


def test_the_statistic_is_pearsons_over_all_groups():
    four = [(4, 0)] * 40 + [(4, 1)] * 20 + [(4, 2)] * 20 + [(4, 3)] * 20  # (15² + 3 * 5²) / 25 = 12
    two = [(2, 0)] * 30 + [(2, 1)] * 20  # 2 * 5² / 25 = 2
    test = compare_places(four + two)
    assert test.answers == 150
    assert test.p == pytest.approx(8 * exp(-7))  # the tail of 12 + 2 with 3 + 1 degrees of freedom


def test_groups_with_too_few_answers_a_place_say_nothing():
    assert compare_places([(4, 0)] * 19) == (0, None)
    assert compare_places([(4, 0)] * 19 + [(2, 0), (2, 1)] * 5).answers == 10


def test_who_always_prefers_the_first_place_is_found_and_who_judges_is_not():
    assert compare_places([(4, 0)] * 30).p < 1e-9
    chance = random.Random(1)
    fair = [compare_places([(4, chance.randrange(4)) for _ in range(100)]).p for _ in range(300)]
    assert 0.02 < sum(p < 0.05 for p in fair) / 300 < 0.09

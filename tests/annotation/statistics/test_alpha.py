"""Krippendorff's alpha: his own example, the reference package, chance, and too little to tell."""

import krippendorff
import numpy as np
import pytest

from annotation.statistics.alpha import alpha_of, coincidences, ordinal_alpha
from annotation.statistics.estimates import Estimate, NotEnough, Resamples

# Krippendorff, 2011, Computing Krippendorff's Alpha-Reliability, section C: 4 observers, 12 units, 0: none.
PUBLISHED = np.array(
    [
        [1, 2, 3, 3, 2, 1, 4, 1, 2, 0, 0, 0],
        [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, 0, 3],
        [0, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, 0],
        [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, 0],
    ]
)


def counted(table, highest):
    return np.stack([(table == value).sum(axis=0) for value in range(1, highest + 1)], axis=1)


def long_form(table):
    """Images 0.., ratings of each; every image is a prompt of its own."""
    rater, image = np.nonzero(table)
    return image, image, table[rater, image]


def test_alpha_of_the_published_example():
    counts = counted(PUBLISHED, 5)
    pairable = counts[counts.sum(axis=1) > 1]
    assert alpha_of(coincidences(pairable).sum(axis=0)) == pytest.approx(0.815, abs=5e-4)


def test_alpha_is_the_reference_packages():
    generator = np.random.default_rng(4)
    for _ in range(20):
        table = np.clip(generator.integers(0, 9, (4, 30)) + generator.integers(-1, 2, (4, 30)), 0, 7)
        counts = counted(table, 7)
        expected = krippendorff.alpha(value_counts=counts, level_of_measurement="ordinal")
        pairable = counts[counts.sum(axis=1) > 1]
        assert alpha_of(coincidences(pairable).sum(axis=0)) == pytest.approx(expected)


def test_people_who_agree_have_an_alpha_near_1_and_people_who_guess_near_0():
    generator = np.random.default_rng(2)
    truth = generator.integers(1, 8, 200)
    close = np.clip(truth + generator.integers(-1, 2, (3, 200)), 1, 7)
    draws = Resamples(200, seed=0)
    agreed = ordinal_alpha(*long_form(close), highest=7, resamples=draws)
    guessed = ordinal_alpha(*long_form(generator.integers(1, 8, (3, 200))), highest=7, resamples=draws)
    assert isinstance(agreed, Estimate)
    assert 0.75 < agreed.low < agreed.value < agreed.high < 0.95
    assert (agreed.prompts, agreed.count) == (200, 200)
    assert guessed.low < 0 < guessed.high


def test_images_rated_once_do_not_count():
    table = np.vstack([np.arange(30) % 7 + 1, np.where(np.arange(30) < 12, np.arange(30) % 7 + 1, 0)])
    found = ordinal_alpha(*long_form(table), highest=7, resamples=Resamples(30, seed=0))
    assert (found.value, found.prompts, found.count) == (1, 12, 12)


def test_too_few_prompts_or_ratings_that_never_differ_give_no_alpha():
    few = ordinal_alpha(*long_form(PUBLISHED[:, :9]), highest=7, resamples=Resamples(9, seed=0))
    assert few == NotEnough("9 of 10 prompts")
    same = ordinal_alpha(*long_form(np.full((2, 20), 4)), highest=7, resamples=Resamples(20, seed=0))
    assert same == NotEnough("every rating is the same")
    nobody = np.zeros(0, np.int64)
    none = ordinal_alpha(nobody, nobody, nobody, highest=7, resamples=Resamples(5, seed=0))
    assert none == NotEnough("0 of 10 prompts")

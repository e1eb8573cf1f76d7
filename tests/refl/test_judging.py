"""When a change of scores between two generators is more than chance."""

import numpy as np
import pytest

from refl.services.judging import paired_change

NOISE = np.random.default_rng(3).normal(size=(60, 2))


def scores(shift: float) -> list[list[float]]:
    return [[float(score + shift) for score in prompt] for prompt in NOISE]


def test_a_drop_of_every_prompt_is_a_fall():
    change = paired_change(scores(0), scores(-0.5), seed=1, draws=500)
    assert change.is_a_fall()
    assert change.difference == pytest.approx(-0.5)
    assert change.low == pytest.approx(-0.5)
    assert change.prompts == 60


@pytest.mark.parametrize(("share", "falls"), [(0.05, False), (0.09, False), (0.11, True)])
def test_a_drop_is_a_fall_from_a_tenth_of_the_deviation_over_prompts(share, falls):
    deviation = NOISE.mean(axis=1).std()
    change = paired_change(scores(0), scores(-share * deviation), seed=1, draws=500)
    assert change.deviation == pytest.approx(deviation)
    assert change.is_a_fall() == falls
    assert change.loss == pytest.approx(share)


def test_a_rise_is_none():
    assert not paired_change(scores(0), scores(0.5), seed=1, draws=500).is_a_fall()


def test_noise_without_a_drift_is_none():
    after = [list(reversed(prompt)) for prompt in scores(0)]
    change = paired_change(scores(0), after, seed=1, draws=500)
    assert change.low <= 0 <= change.high
    assert not change.is_a_fall()
    assert change.loss == 0


def test_the_images_of_a_prompt_count_as_one_witness():
    once = paired_change([[0.0], [1.0]], [[0.5], [1.0]], seed=1, draws=500)
    often = paired_change([[0.0] * 50, [1.0] * 50], [[0.5] * 50, [1.0] * 50], seed=1, draws=500)
    assert (often.low, often.high) == (once.low, once.high)


def test_the_same_seed_gives_the_same_interval():
    pairs = scores(0), [list(reversed(prompt)) for prompt in scores(0.1)]
    assert paired_change(*pairs, seed=4, draws=200) == paired_change(*pairs, seed=4, draws=200)


@pytest.mark.parametrize(("before", "after"), [([], []), ([[1.0]], [[1.0], [2.0]]), ([[1.0]], [[1.0, 2.0]])])
def test_scores_that_do_not_match_are_refused(before, after):
    with pytest.raises(ValueError, match="same prompts and seeds"):
        paired_change(before, after, seed=1)

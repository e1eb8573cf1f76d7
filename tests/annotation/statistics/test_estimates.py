"""How sure a figure is: which prompts are drawn, and that each is drawn whole."""

import tracemalloc

import numpy as np

from annotation.statistics import estimates
from annotation.statistics.estimates import (
    PAGE_RESAMPLES,
    RESAMPLES,
    Resamples,
    mean_over_prompts,
    resample,
    resampled_shares,
)


def test_resamples_drawn_in_parts_are_those_drawn_at_once(monkeypatch):
    at_once = np.random.default_rng(3).integers(0, 7, size=(RESAMPLES, 7))
    for together in (1, 7 * 13, 7 * RESAMPLES, 10**6):
        monkeypatch.setattr(estimates, "TOGETHER", together)
        assert np.array_equal(np.concatenate(list(resample(7, seed=3))), at_once)
    parts, wholes = np.random.default_rng(4).random((2, 7))
    expected = parts[at_once].sum(axis=1) / wholes[at_once].sum(axis=1)
    assert np.array_equal(resampled_shares(parts, wholes, seed=3), expected)


def test_every_figure_draws_the_same_prompts_from_the_same_seed():
    """On a page, in a report, and as numpy's own choice among the values draws them."""
    drawn = np.concatenate(list(resample(7, seed=3)))
    weights = Resamples(7, seed=3).weights
    assert weights.shape == (PAGE_RESAMPLES, 7)
    assert np.array_equal(weights, [np.bincount(row, minlength=7) for row in drawn[:PAGE_RESAMPLES]])
    values, rng = np.arange(7) / 10, np.random.default_rng(3)
    assert np.array_equal(values[drawn[:50]], [rng.choice(values, 7) for _ in range(50)])


def test_the_interval_of_many_prompts_takes_little_memory():
    """All draws at once would be 320 MB of indices and as much again of what they take."""
    values = np.random.default_rng(0).random(20_000)
    tracemalloc.start()
    found = mean_over_prompts(np.arange(20_000), values, seed=0)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert found.low < values.mean() < found.high
    assert peak < 60 << 20


def test_the_interval_draws_prompts_whole():
    prompts = np.repeat(np.arange(20), 50)
    values = np.repeat(np.arange(20) % 2, 50).astype(float)
    found = mean_over_prompts(prompts, values, seed=1)
    assert (found.value, found.count, found.prompts) == (0.5, 1000, 20)
    assert found.low < 0.35  # a thousand values, but only twenty of them are independent
    assert mean_over_prompts(prompts[:0], values[:0], seed=1) is None

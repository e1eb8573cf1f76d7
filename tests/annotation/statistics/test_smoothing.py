"""The smooth line through a noisy curve."""

import numpy as np
import pytest

from annotation.statistics.smoothing import smooth

STEPS = np.arange(1.0, 41.0)


def noisy(rise, seed=0):
    return rise * STEPS / STEPS[-1] + 0.1 * np.random.default_rng(seed).standard_normal(len(STEPS))


def written_out(x, y):
    """Cleveland's steps in plain Python: weighted least squares by numpy at each point, three times."""
    size = max(9, round(len(x) / 3))
    trust, fitted = [1.0] * len(x), []
    for _ in range(3):
        fitted = []
        for at in x:
            reach = sorted(abs(other - at) for other in x)[size - 1]
            weights = [
                each * (1 - min(abs(other - at) / reach, 1) ** 3) ** 3
                for other, each in zip(x, trust, strict=True)
            ]
            fitted.append(np.polyfit(x - at, y, 1, w=np.sqrt(weights))[1])
        residuals = [abs(value - line) for value, line in zip(y, fitted, strict=True)]
        middle = float(np.median(residuals))
        trust = [max(1 - (each / (6 * middle)) ** 2, 0) ** 2 for each in residuals]
    return fitted


@pytest.mark.parametrize("x", [STEPS, STEPS**1.5])
def test_each_height_is_that_of_a_line_fitted_around_it(x):
    y = noisy(1.0)
    y[7] = 0.9
    assert smooth(x, y) == pytest.approx(written_out(x, y), abs=1e-9)


def test_a_straight_line_stays_as_it_is_to_both_ends():
    assert smooth(STEPS, 2 - 0.1 * STEPS) == pytest.approx(2 - 0.1 * STEPS)


def test_a_rise_within_the_noise_is_seen_at_its_size():
    x, y = np.arange(100.0), np.random.default_rng(0).standard_normal(100)
    line = smooth(x, 0.2 * x / 99 + 0.1 * y)
    assert line[-1] - line[0] == pytest.approx(0.2, abs=0.08)
    assert np.std(line - 0.2 * x / 99) < 0.04


def test_a_long_curve_is_fitted_at_some_points_and_straight_between_them():
    x = np.arange(1000.0)
    assert smooth(x, np.sin(x / 300)) == pytest.approx(np.sin(x / 300), abs=0.05)


def test_a_spike_does_not_pull_the_line():
    y = noisy(0.2)
    spiked = y.copy()
    spiked[20] = 50.0
    assert np.abs(smooth(STEPS, spiked) - smooth(STEPS, y)).max() < 0.05


def test_a_curve_of_steps_that_lies_on_itself_is_smoothed_too():
    assert np.isfinite(smooth(STEPS, (STEPS > 30) * 1.0)).all()
    assert smooth(STEPS, np.ones(40)) == pytest.approx(np.ones(40))


def test_a_few_points_are_not_smoothed():
    assert smooth(STEPS[:8], noisy(1.0)[:8]) is None

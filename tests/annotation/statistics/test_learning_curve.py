"""What more answers would bring, from how accurate models were that learned from fewer."""

import math
from itertools import product

import numpy as np
import pytest

from annotation.statistics import learning_curve
from annotation.statistics.learning_curve import fit_learning_curve


def accuracy(size, limit=0.8, lack=0.15, rate=0.5, first=40):
    return limit - lack * (size / first) ** -rate


def test_a_curve_measured_without_noise_is_drawn_further():
    sizes = [40, 80, 160, 320]
    curve = fit_learning_curve(sizes, [accuracy(size) for size in sizes], noise=0.001)
    forecast = curve.forecast(1280)
    assert forecast.value == pytest.approx(accuracy(1280), abs=0.004)
    assert forecast.low < accuracy(1280) < forecast.high


def test_the_forecast_is_the_mean_over_the_grid_written_out(monkeypatch):
    grids = {"LIMITS": [0.7, 0.75, 0.8], "LACKS": [0.05, 0.1], "RATES": [0.2, 0.6]}
    for name, values in grids.items():
        monkeypatch.setattr(learning_curve, name, np.array(values))
    sizes, accuracies = [50, 100, 200], [0.64, 0.68, 0.69]
    total, mean = 0.0, 0.0
    for limit, lack, rate in product(*grids.values()):
        likelihood = math.prod(
            math.exp(-((y - (limit - lack * (n / 50) ** -rate)) ** 2) / (2 * 0.02**2))
            for n, y in zip(sizes, accuracies, strict=True)
        )
        total += likelihood
        mean += likelihood * (limit - lack * (400 / 50) ** -rate)
    forecast = fit_learning_curve(sizes, accuracies, noise=0.02).forecast(400)
    assert forecast.value == pytest.approx(mean / total, abs=0.002)  # drawn 4,000 times


def test_95_of_100_trainings_come_within_the_interval_or_more():
    rng = np.random.default_rng(0)
    within = 0
    for _ in range(100):
        limit, lack, rate = rng.uniform(0.7, 0.85), rng.uniform(0.05, 0.2), rng.uniform(0.2, 0.7)
        *early, later = (accuracy(n, limit, lack, rate) + rng.normal(0, 0.01) for n in (40, 80, 160, 320))
        forecast = fit_learning_curve([40, 80, 160], early).forecast(320)
        within += forecast.low <= later <= forecast.high
    assert within >= 93


def test_the_further_away_the_wider_the_interval():
    curve = fit_learning_curve([40, 80, 160], [0.65, 0.68, 0.7])
    near, far = curve.forecast(200), curve.forecast(2000)
    assert far.high - far.low > near.high - near.low
    assert far.value > near.value
    assert far.high <= 1.0


def test_two_sizes_say_nothing_of_how_fast_a_curve_levels_off():
    assert fit_learning_curve([], []) is None
    assert fit_learning_curve([40, 80, 80], [0.6, 0.7, 0.71]) is None


def test_impossible_input_is_refused():
    with pytest.raises(ValueError, match="2 sizes for 1 accuracies"):
        fit_learning_curve([40, 80], [0.6])
    with pytest.raises(ValueError, match="1 answer or more, not 0"):
        fit_learning_curve([0, 40, 80], [0.5, 0.6, 0.7])
    curve = fit_learning_curve([40, 80, 160], [0.65, 0.68, 0.7])
    with pytest.raises(ValueError, match="1 answer or more, not 0"):
        curve.forecast(0)

"""How far what heads say of single aspects agrees with people: each figure equals the sum written out."""

import random
from pathlib import Path
from statistics import mean

import numpy as np
import pytest

from annotation.statistics.correlation import mean_ranks
from rewardmodel.learning.data.rankings import Ranking, load_rankings
from rewardmodel.learning.evaluation import judge, report
from rewardmodel.learning.evaluation.aspects import aspect_figures, auc, pearson
from rewardmodel.learning.model.aspects import PROBLEMS
from rewardmodel.learning.scoring import load_scorer


def steps(rating):
    return tuple(rating > level for level in range(1, 7))


def correlation(x, y):
    dx, dy = [a - mean(x) for a in x], [b - mean(y) for b in y]
    spread = sum(a * a for a in dx) * sum(b * b for b in dy)
    return sum(a * b for a, b in zip(dx, dy, strict=True)) / spread**0.5


@pytest.fixture
def said():
    """Forty rankings of three images: marks of 1 to 7, a third of them missing, and predictions near them."""
    chance = random.Random(5)
    rankings, predicted = [], []
    for number in range(40):
        marks = [chance.randrange(1, 8) for _ in range(3)]
        known = [None if (number + at) % 3 == 0 else mark for at, mark in enumerate(marks)]
        boxes = tuple(tuple(name == "blurry" and mark < 4 for name in PROBLEMS) for mark in marks)
        aspects = {
            "fidelity": tuple(None if mark is None else steps(mark) for mark in known),
            "problems": boxes,
        }
        paths = tuple(Path(f"{number}-{at}.png") for at in range(3))
        rankings.append(Ranking(str(number), f"p{number}", paths, (1, 2, 3), aspects=aspects))
        guesses = [min(max(mark + chance.gauss(0, 2), 1), 7) for mark in marks]
        predicted.append(
            [
                {"fidelity": guess, "problems": {name: 1 / (1 + 2**guess) for name in PROBLEMS}}
                for guess in guesses
            ]
        )
    return predicted, rankings


def test_ratings_correlate_over_all_images_that_somebody_rated(said):
    predicted, rankings = said
    pairs = [
        (guess["fidelity"], 1 + sum(answer))
        for guesses, ranking in zip(predicted, rankings, strict=True)
        for guess, answer in zip(guesses, ranking.aspects["fidelity"], strict=True)
        if answer is not None
    ]
    guesses, marks = zip(*pairs, strict=True)
    [row] = aspect_figures(predicted, rankings, seed=0)["ratings"]
    assert (row["name"], row["pearson"]["count"], row["pearson"]["prompts"]) == ("fidelity", 80, 40)
    assert row["pearson"]["value"] == pytest.approx(correlation(guesses, marks))
    ranks = mean_ranks(guesses), mean_ranks(marks)
    assert row["spearman"]["value"] == pytest.approx(correlation(*ranks))
    assert row["pearson"]["low"] < row["pearson"]["value"] < row["pearson"]["high"]


def test_a_problem_is_told_as_often_as_of_two_images_the_one_that_has_it_is_given_more(said):
    predicted, rankings = said
    [row] = aspect_figures(predicted, rankings, seed=0)["problems"]  # nobody ticked any other
    scores = [guess["problems"]["blurry"] for guesses in predicted for guess in guesses]
    ticked = [boxes[PROBLEMS.index("blurry")] for r in rankings for boxes in r.aspects["problems"]]
    yes = [score for score, is_so in zip(scores, ticked, strict=True) if is_so]
    no = [score for score, is_so in zip(scores, ticked, strict=True) if not is_so]
    wins = sum((a > b) + (a == b) / 2 for a in yes for b in no)
    assert row == pytest.approx(
        {"name": "blurry", "auc": wins / len(yes) / len(no), "share": len(yes) / 120, "count": 120}
    )


def test_there_is_no_area_where_all_are_so_or_none():
    assert auc([1.0, 2.0], [True, True]) is None
    assert auc([1.0, 2.0], [False, False]) is None
    assert auc([1.0, 1.0], [True, False]) == 0.5


def test_the_interval_of_a_correlation_draws_prompts_whole():
    x, y = np.array([0.0, 1.0, 2.0, 3.0]), np.array([0.0, 1.0, 3.0, 2.0])
    one = pearson(x, y, np.array([7, 7, 7, 7]), seed=0)
    assert one.low == one.high == pytest.approx(one.value)
    assert pearson(x, np.ones(4), np.arange(4), seed=0) is None


def test_a_report_has_the_aspects_of_a_model_that_has_heads_for_them(initial, a_dataset):
    from rewardmodel.learning.config import RewardConfig
    from rewardmodel.learning.training import train

    folder = a_dataset(train=24, test=12, rated=True)
    config = RewardConfig(epochs=2, learning_rate=3e-3, batch_pairs=16, aspects=("fidelity", "problems"))
    result = train(config, dataset=folder, images=folder, initial=initial, folder=folder.parent / "run")
    rankings = load_rankings(folder, "test", folder)
    figures = report(judge(load_scorer(result.checkpoint), rankings))["aspects"]
    assert [row["name"] for row in figures["ratings"]] == ["fidelity"]
    assert [row["name"] for row in figures["problems"]] == ["blurry"]
    assert report(judge(load_scorer(initial), rankings))["aspects"] is None

"""Agreement of a model with people, and whether one model agrees more than another."""

import pytest

from rewardmodel.learning import load
from rewardmodel.learning.data.rankings import Ranking, load_rankings
from rewardmodel.learning.evaluation import compare, evaluate, evaluate_rewards


def ranking(prompt, *places):
    return Ranking(prompt, prompt, (), places)


def test_accuracy_counts_pairs_and_by_prompt_counts_prompts():
    rankings = [ranking("a", 1, 2, 3), ranking("b", 2, 1)]
    result = evaluate_rewards([[3, 1, 2], [0, 1]], rankings)
    assert (result.pairs, result.prompts) == (4, 2)
    assert result.accuracy == pytest.approx(3 / 4)
    assert result.accuracy_by_prompt == pytest.approx((2 / 3 + 1) / 2)


def test_tied_places_are_no_pair_and_a_predicted_tie_is_wrong():
    result = evaluate_rewards([[1.0, 1.0, 0.5]], [ranking("a", 1, 2, 2)])
    assert (result.pairs, result.accuracy) == (2, 0.5)


def test_rankings_of_one_prompt_count_as_one_prompt():
    result = evaluate_rewards([[1, 0], [0, 1]], [ranking("a", 1, 2), ranking("a", 1, 2)])
    assert (result.prompts, result.pairs, result.accuracy) == (1, 2, 0.5)


def test_the_interval_surrounds_the_accuracy_and_narrows_with_more_prompts():
    def interval(count):
        rewards = [[1, 0] if number % 4 else [0, 1] for number in range(count)]
        rankings = [ranking(str(number), 1, 2) for number in range(count)]
        return evaluate_rewards(rewards, rankings, seed=3).interval

    few, many = interval(40), interval(400)
    assert few.low < 0.75 < few.high
    assert many.high - many.low < (few.high - few.low) / 2
    assert interval(40) == few


def test_two_models_are_compared_prompt_by_prompt():
    rankings = [ranking(str(number), 1, 2) for number in range(100)]
    good = evaluate_rewards([[1, 0]] * 90 + [[0, 1]] * 10, rankings)
    poor = evaluate_rewards([[1, 0]] * 80 + [[0, 1]] * 20, rankings)
    gain = compare(good, poor)
    assert gain.difference == pytest.approx(0.1)
    assert 0 < gain.interval.low < 0.1 < gain.interval.high
    assert compare(good, good).interval.low == compare(good, good).interval.high == 0


def test_evaluations_of_different_pairs_are_not_compared():
    first = evaluate_rewards([[1, 0]], [ranking("a", 1, 2)])
    other = evaluate_rewards([[1, 0, 0]], [ranking("a", 1, 2, 2)])
    with pytest.raises(ValueError, match="different pairs"):
        compare(first, other)


def test_nothing_but_ties_cannot_be_evaluated():
    with pytest.raises(ValueError, match="different places"):
        evaluate_rewards([[1, 0]], [ranking("a", 2, 2)])


def test_a_model_is_evaluated_on_the_images_of_the_rankings(a_dataset, initial):
    rankings = load_rankings(a_dataset(), "test")
    scorer = load(initial, device="cpu")
    rewards = [scorer.score(ranking.prompt, list(ranking.images)) for ranking in rankings]
    assert evaluate(scorer, rankings) == evaluate_rewards(rewards, rankings)

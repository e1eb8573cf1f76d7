"""Each figure of an evaluation equals the sum written out; and what ties, strangers and silence do to it."""

import itertools
import math
import random
from pathlib import Path

import numpy as np
import pytest

from rewardmodel.learning.data.rankings import Ranking
from rewardmodel.learning.evaluation import About, Judged, report
from rewardmodel.learning.evaluation.best_of_n import best_of_n, expected_place
from rewardmodel.learning.evaluation.calibration import calibration, fit_temperature
from rewardmodel.learning.evaluation.generators import rank_generators, standings
from rewardmodel.learning.evaluation.pairs import (
    accuracy_by_group,
    margin_groups,
    pair_accuracy,
    pairs_of,
    prompt_accuracy,
)
from rewardmodel.learning.evaluation.people import ceiling
from rewardmodel.learning.evaluation.retrieval import filter_at, mean_recall, recall_at


def ranking(prompt, *places, name="image"):
    images = tuple(Path(f"{prompt}-{name}-{number}.png") for number in range(len(places)))
    return Ranking(f"{prompt}-{name}", prompt, images, places)


@pytest.fixture
def drawn():
    """Thirty rankings of four to seven images with ties, two opinions on every third, rewards with ties."""
    chance = random.Random(4)
    rankings, rewards = [], []
    for number in range(30):
        images = chance.randrange(4, 8)
        for _ in range(2 if number % 3 == 0 else 1):
            rankings.append(ranking(f"p{number}", *(chance.randrange(1, 6) for _ in range(images))))
            rewards.append([round(chance.gauss(0, 1) - place / 2, 1) for place in rankings[-1].places])
    return rewards, rankings


def every_pair(rewards, rankings):
    """(prompt, margin, gap) of each non-tied pair, in plain loops."""
    for own, one in zip(rewards, rankings, strict=True):
        for i, j in itertools.permutations(range(len(own)), 2):
            if one.places[i] < one.places[j]:
                yield one.prompt, own[i] - own[j], one.places[j] - one.places[i]


def test_accuracy_is_the_share_of_pairs_and_by_prompt_the_mean_of_shares(drawn):
    pairs = pairs_of(*drawn)
    plain = list(every_pair(*drawn))
    right = [margin > 0 for _, margin, _ in plain]
    assert pair_accuracy(pairs, seed=0).value == pytest.approx(sum(right) / len(right))
    shares = []
    for prompt in {prompt for prompt, _, _ in plain}:
        own = [margin > 0 for each, margin, _ in plain if each == prompt]
        shares.append(sum(own) / len(own))
    assert prompt_accuracy(pairs, seed=0).value == pytest.approx(sum(shares) / len(shares))
    assert any(margin == 0 for _, margin, _ in plain)  # a predicted tie is among them, and wrong


def test_accuracy_by_gap_counts_the_pairs_of_each_gap_alone(drawn):
    pairs = pairs_of(*drawn)
    for gap, found in accuracy_by_group(pairs, pairs.gap, seed=0):
        own = [margin > 0 for _, margin, each in every_pair(*drawn) if each == gap]
        assert (found.count, found.value) == (len(own), pytest.approx(sum(own) / len(own)))


def test_pairs_of_no_group_are_left_out(drawn):
    pairs = pairs_of(*drawn)
    groups = np.where(pairs.gap == 1, -1, pairs.gap)
    assert 1 not in [group for group, _ in accuracy_by_group(pairs, groups, seed=0)]


def test_margins_are_put_into_groups_of_about_equal_size():
    pairs = pairs_of([[8, 4, 2, 1, 0]], [ranking("a", 1, 2, 3, 4, 5)])
    groups, distances = margin_groups(pairs, 2)
    assert sorted(np.bincount(groups)) == [5, 5]
    assert distances == sorted(distances)


def test_recall_finds_the_human_best_among_the_models_first_k():
    places = [2, 1, 3, 5, 4]
    assert [recall_at([9, 7, 8, 1, 0], places, k) for k in (1, 2, 3, 4)] == [0, 0, 1, 1]
    assert [filter_at([9, 7, 8, 1, 0], places, k) for k in (1, 2)] == [0, 1]


def test_of_several_best_images_recall_counts_the_share_that_is_found():
    assert recall_at([3, 2, 1, 0], [1, 1, 2, 3], 1) == 0.5
    assert filter_at([3, 2, 1, 0], [1, 3, 3, 3], 2) == pytest.approx(2 / 3)


def test_a_tie_at_the_edge_of_the_models_first_k_is_outside():
    assert recall_at([1, 1, 0], [1, 2, 3], 1) == 0
    assert recall_at([1, 1, 0], [1, 2, 3], 2) == 1


@pytest.mark.parametrize("k", [1, 2, 4])
def test_chance_of_recall_is_what_random_rewards_give(k):
    chance = random.Random(0)
    rankings = [ranking(f"p{n}", 1, 1, 2, 3, 3, 5) for n in range(2000)]
    rewards = [[chance.random() for _ in range(6)] for _ in rankings]
    for worst in (False, True):
        found, expected = mean_recall(rewards, rankings, k, worst=worst, seed=0)
        assert expected == pytest.approx(k / 6)
        assert found.value == pytest.approx(expected, abs=0.03)


def test_rankings_of_no_more_than_k_images_have_no_recall_at_k():
    assert mean_recall([[1, 2, 3, 4]], [ranking("a", 1, 2, 3, 4)], 4, worst=False, seed=0) is None


@pytest.mark.parametrize("n", [1, 2, 3, 5])
def test_the_expected_pick_is_the_mean_over_every_choice_of_n(n):
    rewards, places = [0.3, 0.9, 0.3, 0.9, 0.1], [2, 1, 5, 3, 4]
    picked = []
    for chosen in itertools.combinations(range(5), n):
        most = max(rewards[i] for i in chosen)
        best = [places[i] for i in chosen if rewards[i] == most]
        picked.append(sum(best) / len(best))
    assert expected_place(rewards, places, n) == pytest.approx(sum(picked) / len(picked))


def test_a_model_that_is_right_picks_as_people_do_and_of_one_image_anybody_picks_by_chance():
    rankings = [ranking("a", 1, 3, 2, 5), ranking("b", 4, 2, 1, 1)]
    picks = best_of_n([[-place for place in one.places] for one in rankings], rankings, seed=0)
    assert [pick.n for pick in picks] == [1, 2, 3, 4]
    assert all(pick.model.value == pytest.approx(pick.people) for pick in picks)
    assert picks[0].model.value == pytest.approx(picks[0].chance)
    assert picks[-1].people == 1


def test_calibration_error_is_the_weighted_distance_of_confidence_and_accuracy(drawn):
    pairs, temperature = pairs_of(*drawn), 0.7
    bins = {}
    for margin in pairs.margin:
        confidence = 1 / (1 + math.exp(-abs(margin) / temperature))
        right = 0.5 if margin == 0 else float(margin > 0)
        bins.setdefault(min(int((confidence - 0.5) * 20), 9), []).append((confidence, right))
    error = sum(abs(sum(c - r for c, r in own)) for own in bins.values()) / len(pairs)
    found = calibration(pairs, temperature=temperature, seed=0)
    assert found.error == pytest.approx(error)
    assert found.low <= found.error <= found.high
    assert sum(each.pairs for each in found.bins) == len(pairs)
    loss = sum(math.log(1 + math.exp(-margin / temperature)) for margin in pairs.margin) / len(pairs)
    assert found.loss == pytest.approx(loss)


def test_the_fitted_temperature_has_the_lowest_loss_and_makes_an_overconfident_model_honest():
    chance = random.Random(2)
    rankings, rewards = [], []
    for number in range(3000):
        margin = abs(chance.gauss(0, 1))
        rankings.append(ranking(str(number), 1, 2))
        agrees = chance.random() < 1 / (1 + math.exp(-margin))
        rewards.append([5 * margin, 0] if agrees else [0, 5 * margin])  # five times too sure
    pairs = pairs_of(rewards, rankings)
    fitted = fit_temperature(pairs)
    assert fitted == pytest.approx(5, rel=0.1)
    losses = [calibration(pairs, temperature=t, seed=0).loss for t in (fitted, 0.97 * fitted, 1.03 * fitted)]
    assert losses[0] == min(losses)
    errors = [calibration(pairs, temperature=t, seed=0).error for t in (fitted, 1.0)]
    assert errors[0] < 0.03 < errors[1]


def test_a_model_that_is_always_right_may_be_as_sure_as_can_be():
    always = pairs_of([[1, 0]], [ranking("a", 1, 2)])
    assert fit_temperature(always) == pytest.approx(1e-3)
    assert fit_temperature(pairs_of([[0, 1]], [ranking("a", 1, 2)])) == pytest.approx(1e3)


def test_each_generator_stands_by_its_best_image():
    found = standings([3, 1, 2, 2], ["a", "a", "b", "c"])
    assert found == {"a": (2, 0, 2), "b": (0, 1, 2), "c": (0, 1, 2)}


def test_generators_are_ranked_by_people_and_boxed_on_a_common_scale():
    rankings = [ranking(f"p{n}", 1, 2, 3, 4) for n in range(20)]
    rewards = [[3.0, 2.0, 1.0, 0.0]] * 20
    found = rank_generators(rewards, rankings, [["a", "b", "c", "a"]] * 20, seed=0)
    assert [(one.name, one.wins, one.compared) for one in found.generators] == [
        ("a", 40, 40),
        ("b", 20, 40),
        ("c", 0, 40),
    ]
    assert [one.mean for one in found.generators] == [1.5, 2.0, 1.0]
    assert found.generators[1].box == pytest.approx([2 / 3] * 5)
    assert found.correlation == pytest.approx(0.5)
    assert found.low == found.high == pytest.approx(0.5)  # every prompt says the same


def test_two_generators_are_too_few_for_a_rank_correlation_and_unknown_ones_for_any_figure():
    rankings = [ranking("a", 1, 2)]
    assert rank_generators([[1, 0]], rankings, [["x", "y"]], seed=0).correlation is None
    assert rank_generators([[1, 0]], rankings, [()], seed=0) is None


def test_the_ceiling_is_how_often_another_person_has_the_same_order_ties_as_half():
    one, other = ranking("a", 1, 2, 3), ranking("a", 1, 3, 3)
    alone = ranking("b", 1, 2)
    found = ceiling([one, other, alone], seed=0)
    # one's pairs by other: 1, 1, 0.5 of 3; other's pairs by one: 1, 1 of 2.
    assert (found.value, found.count, found.prompts) == (pytest.approx(4.5 / 5), 5, 1)
    assert ceiling([alone], seed=0) is None


def test_a_report_has_every_figure_and_groups_prompts_by_what_is_known_of_them(drawn):
    rewards, rankings = drawn
    about = [
        About("people" if number % 2 else "arts", tuple("abcdefg"[: len(one.places)]))
        for number, one in enumerate(rankings)
    ]
    found = report(Judged(rankings, rewards), about=about, validation=Judged(rankings, rewards))
    assert found["accuracy"]["value"] == pytest.approx(pair_accuracy(pairs_of(*drawn), seed=0).value)
    assert [one["name"] for one in found["by_category"]] == ["arts", "people"]
    assert sum(one["count"] for one in found["by_category"]) == found["accuracy"]["count"]
    assert sum(one["count"] for one in found["by_agreement"]) == sum(
        len(list(every_pair([own], [one])))
        for own, one in zip(rewards, rankings, strict=True)
        if int(one.prompt[1:]) % 3 == 0
    )
    assert [one["number"] for one in found["by_images"]] == sorted({len(one.places) for one in rankings})
    assert [one["k"] for one in found["recall"]] == [1, 2, 4]
    assert found["calibration"][0]["temperature"] == 1
    assert len(found["calibration"]) == 2
    assert len(found["generators"]["generators"]) == 7
    assert 0 < found["ceiling"]["value"] < 1


def test_a_report_of_little_is_honest_about_it():
    found = report(Judged([ranking("a", 1, 2)], [[1, 0]]))
    assert found["ceiling"] is None
    assert found["generators"] is None
    assert found["by_category"] == found["by_agreement"] == []
    assert [one["k"] for one in found["recall"]] == [1]
    with pytest.raises(ValueError, match="different places"):
        report(Judged([ranking("a", 2, 2)], [[1, 0]]))

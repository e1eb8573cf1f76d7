"""The board: known strengths come back, wins count as in the paper, what never met is kept apart."""

import numpy as np
import pytest

from annotation.statistics import davidson
from annotation.statistics.estimates import NotEnough, resample
from annotation.statistics.leaderboard import (
    LOST,
    PRIOR,
    TIED,
    WON,
    best_of_each,
    contests,
    covariance,
    leaderboard,
)
from tests.annotation.statistics.simulated import placements


def board_of(rankings, maker, prompts):
    """`maker` says whose each image is."""
    placed = placements(*rankings)
    items = np.array([maker(image) for image in placed.images])
    return leaderboard(placed, items)


def simulated(strengths, prompts=150, per_item=1, seed=0):
    """One opinion a prompt; noise of log odds as Bradley and Terry have it. Image % 10 is its generator."""
    generator = np.random.default_rng(seed)
    rankings = []
    for prompt in range(prompts):
        ids = [1000 * prompt + 10 * copy + item for item in range(len(strengths)) for copy in range(per_item)]
        seen = np.array([strengths[image % 10] for image in ids]) + generator.gumbel(size=len(ids))
        slots = (-seen).argsort().argsort() + 1
        rankings.append((prompt, 0, dict(zip(ids, slots, strict=True))))
    return rankings


def test_generators_are_ordered_by_their_known_strengths_which_lie_in_the_intervals():
    truth = np.array([0.0, 1.5, -1.0, 0.5])
    [board] = board_of(simulated(truth, prompts=400), lambda image: image % 10, 400)
    assert [one.item for one in board.standings] == [1, 3, 0, 2]
    assert [one.rank for one in board.standings] == [1, 2, 3, 4]
    for one in board.standings:
        assert one.strength.low < truth[one.item] - truth.mean() < one.strength.high
        assert (one.strength.prompts, one.strength.count) == (400, 400 * 3)
        assert one.ranks == (one.rank, one.rank)


def tables_by_prompt(every, size, prompts):
    """(P, K, K) wins and ties of each prompt, written out contest by contest."""
    wins, ties = np.zeros((prompts, size, size)), np.zeros((prompts, size, size))
    for prompt, i, j, outcome in zip(every.prompts, every.first, every.second, every.outcomes, strict=True):
        if outcome == TIED:
            ties[prompt, i, j] += 1
            ties[prompt, j, i] += 1
        else:
            wins[prompt, i, j] += outcome == WON
            wins[prompt, j, i] += outcome == LOST
    return wins, ties


def test_intervals_are_those_of_2000_resamples_of_prompts_within_5_percent():
    """Also where what is said of a prompt hangs together, so that comparisons taken one by one mislead."""
    truth, prompts, rng = np.array([0.0, 1.0, -0.8, 0.3, 0.2]), 250, np.random.default_rng(4)
    rankings = []
    for prompt in range(prompts):
        taste = rng.normal(size=len(truth))  # of all who judge it
        for opinion in range(4):
            marks = np.round(2 * (truth + taste + rng.gumbel(size=len(truth)) / 2)) / 2
            slots = np.unique(-marks, return_inverse=True)[1] + 1
            ids = [10 * prompt + item for item in range(len(truth))]
            rankings.append((prompt, opinion, dict(zip(ids, slots, strict=True))))
    placed = placements(*rankings)
    every = contests(placed, placed.images % 10)
    tables = tables_by_prompt(every, 5, prompts)
    wins, ties = (table.sum(axis=0) for table in tables)
    fitted = davidson.fit(wins[None], ties[None], prior=PRIOR)
    errors = np.sqrt(np.diag(covariance(fitted, every, prior=PRIOR)))

    drawn = (np.bincount(row, minlength=prompts) for rows in resample(prompts, seed=1) for row in rows)
    weights = np.stack(list(drawn))
    sums = (np.tensordot(weights, table, axes=1) for table in tables)
    strengths = davidson.fit(*sums, prior=PRIOR).strengths
    assert len(strengths) == 2000
    assert errors == pytest.approx(strengths.std(axis=0), rel=0.05)

    information = davidson.information(fitted, wins + wins.T + ties, prior=PRIOR)
    centre = np.eye(5) - 1 / 5
    alone = np.sqrt(np.diag(centre @ np.linalg.inv(information)[:5, :5] @ centre))
    assert (errors > 1.3 * alone).all()
    [board] = leaderboard(placed, placed.images % 10)
    ends = {one.item: (one.strength.low, one.strength.high) for one in board.standings}
    assert [ends[item][1] - ends[item][0] for item in range(5)] == pytest.approx(2 * 1.959964 * errors)


def test_generators_that_are_alike_have_ranks_that_cannot_be_told():
    [board] = board_of(simulated([0.0, 0.0], prompts=60), lambda image: image % 10, 60)
    assert [one.ranks for one in board.standings] == [(1, 2), (1, 2)]


def test_a_win_is_a_better_slot_of_the_best_image_as_in_the_paper():
    """Generator 0 has the images 10 and 20, generator 1 has 11 and 21; the best of each is compared."""
    rankings = [
        (0, 0, {10: 1, 20: 5, 11: 2, 21: 3}),  # 0 wins, though 20 is last
        (0, 1, {10: 2, 20: 2, 11: 1, 21: 5}),  # 1 wins
        (1, 0, {110: 1, 111: 1}),  # a tie
        *((prompt, 0, {prompt * 100 + 10: 1, prompt * 100 + 11: 2}) for prompt in range(2, 12)),
    ]
    [board] = board_of(rankings, lambda image: image % 10, 12)
    assert [(one.item, one.wins, one.losses, one.ties) for one in board.standings] == [
        (0, 11, 1, 1),
        (1, 1, 11, 1),
    ]


def test_every_pair_of_images_by_two_generators_is_a_contest_and_none_by_one():
    placed = placements((0, 0, {10: 1, 20: 2, 11: 2}))
    items = placed.images % 10
    every = contests(placed, items)
    assert sorted(zip(every.first, every.second, every.outcomes, strict=True)) == [(0, 1, 0), (0, 1, 2)]
    best = contests(*best_of_each(placed, items))
    assert [(best.first[0], best.second[0], best.outcomes[0])] == [(0, 1, 0)]


def test_more_images_by_one_generator_do_not_raise_its_strength():
    rankings = []
    generator = np.random.default_rng(3)
    for prompt in range(200):
        ids = [10 * prompt, 10 * prompt + 1, 10 * prompt + 2, 10 * prompt + 3]  # the last alone is by 1
        rankings.append((prompt, 0, dict(zip(ids, generator.permutation(4) + 1, strict=True))))
    [board] = board_of(rankings, lambda image: int(image % 10 == 3), 200)
    assert all(one.strength.low < 0 < one.strength.high for one in board.standings)


def test_generators_never_compared_with_each_other_stand_on_boards_of_their_own():
    pairs = [(prompt, 0, {100 * prompt + 10: 1, 100 * prompt + 11: 2}) for prompt in range(12)]
    others = [(prompt, 0, {100 * prompt + 12: 1, 100 * prompt + 13: 2}) for prompt in range(12, 40)]
    lonely = [(40, 0, {4014: 1, 4024: 2})]
    boards = board_of([*pairs, *others, *lonely], lambda image: image % 10, 41)
    assert [(board.items, board.prompts) for board in boards] == [([2, 3], 28), ([0, 1], 12)]


def test_who_never_lost_has_a_finite_strength():
    rankings = [(prompt, 0, {100 * prompt + 10: 1, 100 * prompt + 11: 2}) for prompt in range(50)]
    [board] = board_of(rankings, lambda image: image % 10, 50)
    assert 1 < board.standings[0].strength.value < 10


def test_too_few_prompts_make_no_standings():
    rankings = [(prompt, 0, {100 * prompt + 10: 1, 100 * prompt + 11: 2}) for prompt in range(9)]
    [board] = board_of(rankings, lambda image: image % 10, 9)
    assert board.standings == NotEnough("9 of 10 prompts")


def test_no_answers_make_no_board():
    placed = placements()
    assert leaderboard(placed, placed.images) == []

"""Agreement of judges: worked examples, recovery from simulated people, and too little to tell."""

import numpy as np
import pytest

from annotation.statistics.agreement import (
    ENSEMBLE,
    MODEL,
    compare,
    majority,
    strict,
    tally,
    tau_b,
    ties_as_half,
)
from annotation.statistics.estimates import Estimate, NotEnough, Resamples
from annotation.statistics.panels import panels, verdicts
from tests.annotation.statistics.simulated import crowd, placements


def places(*slots):
    return verdicts(np.array(slots, float))


def share(measure, first, second):
    above, below = measure(tally(places(*first), places(*second)))
    return above / below


def group(people, *judges):
    """(people + 2,) bool: the judges of a group; MODEL and ENSEMBLE count from the end."""
    chosen = np.zeros(people + 2, bool)
    chosen[list(judges)] = True
    return chosen


def test_a_better_slot_is_preferred_equal_slots_tie_and_an_image_not_placed_says_nothing():
    assert places(1, 2, 2).tolist() == [1, 1, 0]
    assert places(3, 1).tolist() == [-1]
    assert np.isnan(places(1, np.nan, 2)).tolist() == [True, False, True]


def test_two_judges_are_counted_by_what_both_said_of_each_pair():
    # Pairs 12, 13, 14, 23, 24, 34. The first ties 2 with 3, the second 3 with 4; they differ on 1 against 2.
    counts = tally(places(1, 2, 2, 3), places(2, 1, 3, 3))
    assert counts.tolist() == [3, 1, 1, 1, 0]


def test_strict_agreement_looks_at_pairs_that_neither_ties():
    assert share(strict, (1, 2, 2, 3), (2, 1, 3, 3)) == 3 / 4


def test_a_tie_of_one_is_half_an_agreement_and_a_tie_of_both_a_whole_one():
    assert share(ties_as_half, (1, 2, 2, 3), (2, 1, 3, 3)) == (3 + 2 / 2) / 6
    assert share(ties_as_half, (1, 1), (2, 2)) == 1
    assert share(ties_as_half, (1, 1), (1, 2)) == 1 / 2


@pytest.mark.parametrize(
    ("first", "second", "tau"),
    [
        ((1, 2, 3, 4), (1, 2, 3, 4), 1),
        ((1, 2, 3, 4), (4, 3, 2, 1), -1),
        ((1, 2, 3, 4), (1, 3, 2, 4), 4 / 6),
        ((1, 2, 2, 3), (1, 2, 3, 4), 5 / np.sqrt(5 * 6)),
        ((1, 2, 2, 3), (2, 1, 3, 3), (3 - 1) / np.sqrt((4 + 1) * (4 + 1))),
    ],
)
def test_tau_b_of_worked_examples(first, second, tau):
    assert share(tau_b, first, second) == pytest.approx(tau)


def test_a_ranking_that_ties_everything_has_no_tau():
    assert tau_b(tally(places(1, 1, 1), places(1, 2, 3))) == (0, 0)


def test_the_majority_wins_a_split_ties_and_one_opinion_is_no_majority():
    said = places((1, 2), (1, 2), (2, 1), (2, 1))[None]
    assert majority(said, np.array([[True, True, True, False]])).tolist() == [[1]]
    assert majority(said, np.array([[True, True, True, True]])).tolist() == [[0]]
    assert np.isnan(majority(said, np.array([[True, False, False, False]]))).all()


def test_an_ensemble_leaves_out_whom_it_is_compared_with():
    """Two others agree against the third: with their own voice, the third would be judged the same way."""
    up, down = {1: 1, 2: 2}, {1: 2, 2: 1}
    found = panels(placements((0, 0, up), (0, 1, down), (0, 2, down)))
    table = compare(found, np.array([True, True, True]))
    mine = table.of(0).between(group(3, 0), group(3, ENSEMBLE))
    assert mine.tallies.tolist() == [[0, 1, 0, 0, 0]]
    theirs = table.of(1).between(group(3, 1), group(3, ENSEMBLE))
    assert theirs.tallies.sum() == theirs.tallies[0, 4 - 1]  # split: the ensemble ties


def test_researchers_are_compared_with_the_ensemble_of_annotators_alone():
    up, down = {1: 1, 2: 2}, {1: 2, 2: 1}
    found = panels(placements((0, 0, up), (0, 1, up), (0, 2, down), (0, 3, down)))
    table = compare(found, np.array([True, True, False, False]))
    assert table.between(group(4, 2, 3), group(4, ENSEMBLE)).tallies.tolist() == [[0, 1, 0, 0, 0]] * 2


def test_an_answer_repeated_by_the_same_person_is_no_agreement_between_people():
    up = {1: 1, 2: 2}
    found = panels(placements((0, 0, up), (0, 0, up), (0, 1, up)))
    table = compare(found, np.array([True, True]))
    assert len(table.between(group(2, 0, 1), group(2, 0, 1)).tallies) == 2


def test_prompts_of_any_shape_are_compared_as_one_by_one():
    """Different images and opinions on each prompt, one image placed by one person only."""
    rankings = [
        (0, 0, {1: 1, 2: 2, 3: 3}),
        (0, 1, {1: 1, 2: 3, 3: 2}),
        (1, 1, {7: 1, 8: 1}),
        (2, 0, {4: 2, 5: 1}),
        (2, 1, {4: 1, 5: 2, 6: 3}),
        (2, 2, {4: 2, 5: 1, 6: 3}),
    ]
    table = compare(panels(placements(*rankings)), np.ones(3, bool))
    people = group(3, 0, 1, 2)
    rows = table.between(people, people)
    told = sorted(zip(rows.prompts, rows.first, rows.second, rows.tallies.tolist(), strict=True))
    assert told == [
        (0, 0, 1, [2, 1, 0, 0, 0]),
        (2, 0, 1, [0, 1, 0, 0, 0]),
        (2, 0, 2, [1, 0, 0, 0, 0]),
        (2, 1, 2, [2, 1, 0, 0, 0]),
    ]


def test_agreement_of_simulated_people_has_its_known_value_inside_the_interval():
    """Two who see strengths with noise 1 agree with probability 1/2 + arcsin(1/2) / pi = 2/3."""
    table = compare(panels(crowd(300, [1.0, 1.0, 1.0], seed=1)), np.ones(3, bool))
    people = group(3, 0, 1, 2)
    found = table.between(people, people).measure("strict", Resamples(300, seed=1))
    assert isinstance(found, Estimate)
    assert found.low < 2 / 3 < found.high
    assert found.high - found.low < 0.06
    assert (found.prompts, found.count) == (300, 300 * 3 * 6)
    tau = table.between(people, people).measure("tau", Resamples(300, seed=1))
    assert tau.value == pytest.approx(2 * found.value - 1)  # no ties, all rankings of one length


def test_a_model_that_knows_the_truth_agrees_more_than_people_do_and_the_ensemble_most():
    table = compare(panels(crowd(300, [1.0] * 5, seed=5)), np.ones(5, bool))
    people, draws = group(5, *range(5)), Resamples(300, seed=1)
    between = table.between(people, people).measure("strict", draws).value
    model = table.between(people, group(5, MODEL)).measure("strict", draws).value
    ensemble = table.between(group(5, ENSEMBLE), group(5, MODEL)).measure("strict", draws).value
    assert between < model < ensemble


def test_the_interval_covers_the_truth_about_as_often_as_it_says():
    hits = 0
    people = group(2, 0, 1)
    for seed in range(40):
        table = compare(panels(crowd(40, [1.0, 1.0], seed=seed)), np.ones(2, bool))
        found = table.between(people, people).measure("strict", Resamples(40, seed=seed))
        hits += found.low <= 2 / 3 <= found.high
    assert 34 <= hits <= 40


def test_fewer_prompts_than_needed_give_no_figure_but_the_reason():
    table = compare(panels(crowd(9, [1.0, 1.0])), np.ones(2, bool))
    people = group(2, 0, 1)
    assert table.between(people, people).measure("strict", Resamples(9, seed=0)) == NotEnough(
        "9 of 10 prompts"
    )
    assert table.between(people, group(2)).measure("half", Resamples(9, seed=0)) == NotEnough(
        "0 of 10 prompts"
    )


def test_nothing_placed_is_no_comparison():
    assert panels(placements()) == []
    assert len(compare([], np.ones(2, bool)).tallies) == 0

"""What follows from what the guards saw: alarms, the best weights, and when to stop."""

import math
import statistics
from itertools import pairwise

import numpy as np
import pytest

from annotation.statistics.notation import significant
from refl.learning.config import GUARD_LIMITS
from refl.learning.looks import (
    TUNED,
    Alarm,
    Change,
    Look,
    best_look,
    compare,
    find_alarm,
    held_out_moves,
    interval_beside,
    read_looks,
    stop_reason,
    write_looks,
)

PROMPTS = 32


def values(seed=0, **shifts):
    """Every figure of 32 prompts: the same chance for the same seed, moved by `shifts`."""
    chance = np.random.default_rng(seed)
    means = {
        TUNED: 0,
        "held_out/other": 0,
        "held_out/artifacts": 0,
        "diversity": 0.2,
        "colour_entropy": 4,
        "dark_share": 0.1,
        "patch_grid": 0.02,
        "drift": 0,
    }
    spread = {name: 0.3 if name in (TUNED,) or "/" in name else 0.01 for name in means}
    drawn = {name: mean + spread[name] * chance.standard_normal(PROMPTS) for name, mean in means.items()}
    return {name: tuple(drawn[name] + shifts.get(name, 0.0)) for name in means}


BASE = Look(0, values(), 1.0)


def alarm_of(seed=1, **shifts):
    return find_alarm(BASE, 10, values(seed, **shifts), GUARD_LIMITS)


def look(step, other, artifacts, *, alarm=None):
    return Look(step, {"held_out/other": (other,) * 3, "held_out/artifacts": (artifacts,) * 3}, 2.0, alarm)


ALARM = Alarm(
    figure="held_out/other",
    step=20,
    base=0.5,
    value=0.25,
    change=Change(-0.25, -0.3, -0.2),
    comparison="difference",
    direction="fall",
    limit=0.0,
    tuned=0.75,
)


@pytest.mark.parametrize(
    ("figure", "shift"),
    [
        ("held_out/other", -0.4),
        ("held_out/artifacts", -0.4),
        ("diversity", -0.1),
        ("colour_entropy", -1.5),
        ("dark_share", 0.3),
        ("patch_grid", 0.1),
        ("drift", 1.5),
    ],
)
def test_a_figure_that_goes_beyond_its_limit_raises_the_alarm_and_says_so(figure, shift):
    alarm = alarm_of(**{figure: shift, TUNED: 0.5})
    assert (alarm.figure, alarm.step) == (figure, 10)
    assert alarm.tuned == pytest.approx(np.mean(values(1)[TUNED]) + 0.5 - np.mean(BASE.values[TUNED]))
    moved = "fell" if shift < 0 else "rose"
    base, value = significant(alarm.base), significant(alarm.value)
    assert f"{moved} from {base} to {value} by update 10" in str(alarm)
    assert "while the reward it is tuned on rose" in str(alarm)
    assert alarm_of(**{figure: -shift / 10}) is None


def test_of_several_figures_the_one_furthest_beyond_its_limit_is_named():
    alarm = alarm_of(**{"held_out/other": -0.4, "diversity": -0.19})
    assert alarm.figure == "diversity"


def test_a_run_that_only_varies_by_chance_raises_no_alarm():
    alarms = [alarm_of(seed) for seed in range(1, 101)]
    assert sum(alarm is not None for alarm in alarms) <= 5  # two rewards, each with 1 in 100 at the low end


def test_a_fall_that_chance_explains_raises_no_alarm():
    assert alarm_of(2, **{"held_out/other": -0.05}) is None


def test_the_reward_that_is_tuned_on_raises_no_alarm_whatever_it_does():
    assert alarm_of(**{TUNED: -3.0}) is None
    assert "did not rise" in str(alarm_of(**{TUNED: -3.0, "diversity": -0.15}))


def test_a_held_out_reward_raises_no_alarm_where_the_tuned_one_fell_with_it():
    fallen = {"held_out/other": -0.4, "held_out/artifacts": -0.4}
    assert alarm_of(**fallen, **{TUNED: -0.5}) is None
    assert alarm_of(**fallen, **{TUNED: 0.5}) is not None


def test_a_run_may_set_a_limit_of_its_own():
    fallen = values(1, diversity=-0.1)
    assert find_alarm(BASE, 10, fallen, {**GUARD_LIMITS, "diversity": 0.4}) is None


def test_differences_and_ratios_are_compared_prompt_by_prompt():
    before, after = (1.0, 2.0, 3.0) * 4, (2.0, 3.0, 4.0) * 4
    difference = compare(before, after, "difference")
    assert (difference.low, difference.high) == pytest.approx((1, 1))  # every prompt gained 1
    ratio = compare(before, after, "ratio")
    assert ratio.value == pytest.approx(9 / 6)
    assert 4 / 3 <= ratio.low < ratio.value < ratio.high <= 2
    assert compare((0.0,) * 12, (1.0,) * 12, "ratio") is None


def test_fewer_than_ten_prompts_raise_no_alarm():
    assert compare((1.0,) * 9, (0.0,) * 9, "difference") is None
    assert compare((1.0,) * 10, (0.0,) * 10, "difference").high == -1


def test_two_looks_are_compared_by_every_held_out_reward():
    first, second, third = look(0, 0.1, 0.5), look(10, 0.3, 0.5), look(20, 0.2, 0.1)
    assert held_out_moves(first, second) == {"held_out/other": 1, "held_out/artifacts": 0}
    assert held_out_moves(second, third) == {"held_out/other": -1, "held_out/artifacts": -1}
    assert held_out_moves(first, third) == {"held_out/other": 1, "held_out/artifacts": -1}


def many(step, other, artifacts, seed, tuned=0.0):
    """A look at 32 prompts that differ alike at every step, and by a little of its own."""
    shared, own = np.random.default_rng(0), np.random.default_rng(seed)
    values = {}
    for name, mean in (("held_out/other", other), ("held_out/artifacts", artifacts)):
        drawn = mean + shared.standard_normal(PROMPTS) + 0.2 * own.standard_normal(PROMPTS)
        values[name] = tuple(drawn)
    values[TUNED] = (tuned,) * PROMPTS
    return Look(step, values, 1.0)


def test_a_difference_that_chance_explains_is_no_change():
    looks = [many(0, 0.0, 0.0, seed=1), many(10, 0.5, -0.02, seed=2), many(20, 1.0, -0.03, seed=3)]
    for before, after in pairwise(looks):
        assert held_out_moves(before, after) == {"held_out/other": 1, "held_out/artifacts": 0}
    assert best_look(looks).step == 20  # a large gain is not thrown away for a loss that may be none


def test_of_looks_that_chance_cannot_tell_apart_the_one_with_the_highest_tuned_reward_is_kept():
    looks = [
        many(0, 0.0, 0.0, seed=1),
        many(10, 0.0, 0.0, seed=2, tuned=0.4),
        many(20, 0.03, 0.03, seed=3, tuned=0.3),
    ]
    for before, after in pairwise(looks):
        assert held_out_moves(before, after) == {"held_out/other": 0, "held_out/artifacts": 0}
    assert best_look(looks).step == 10


def test_a_look_in_which_a_held_out_reward_fell_is_not_kept_whatever_the_others_gained():
    looks = [many(0, 0.0, 0.0, seed=1), many(10, 1.0, -0.5, seed=2, tuned=2.0)]
    assert best_look(looks).step == 0


def test_the_best_weights_are_those_that_gain_by_most_held_out_rewards_among_looks_without_alarm():
    looks = [look(0, 0.1, 0.5), look(10, 0.2, 0.6), look(20, 0.9, 0.9, alarm=ALARM), look(30, 0.15, 0.55)]
    assert best_look(looks).step == 10


def test_the_untuned_weights_are_the_best_of_a_run_that_gains_nothing():
    assert best_look([look(0, 0.5, 0.5), look(10, 0.3, 0.6), look(20, 0.3, 0.4)]).step == 0


def test_an_earlier_look_is_chosen_the_same_when_later_ones_are_read_back_one_by_one():
    chance = np.random.default_rng(0)
    looks = [look(step, *chance.standard_normal(2)) for step in range(8)]
    held = looks[0]
    for count in range(2, 9):
        newest, before = looks[count - 1], held
        held = best_look(looks[:count])
        assert held in (before, newest)  # the weights of any other are gone


def test_without_a_held_out_reward_the_newest_weights_without_alarm_are_kept():
    looks = [Look(step, {"drift": (0.1,)}, 1.0, ALARM if step == 3 else None) for step in range(4)]
    assert best_look(looks).step == 2
    assert stop_reason(looks[:3], looks[2], patience=1) == ""


def test_a_run_stops_at_an_alarm_and_says_which_figure_moved():
    looks = [look(0, 0.1, 0.5), look(20, 0.2, 0.6, alarm=ALARM)]
    assert stop_reason(looks, best_look(looks), patience=4) == (
        "held-out reward other fell from 0.5 to 0.25 by update 20, "
        "while the reward it is tuned on rose (+0.750)"
    )


def test_a_run_stops_when_its_patience_is_over():
    looks = [look(0, 0.1, 0.1), look(10, 0.5, 0.5), look(20, 0.4, 0.4), look(30, 0.3, 0.3)]
    assert stop_reason(looks, best_look(looks), patience=3) == ""
    assert stop_reason(looks, best_look(looks), patience=2) == (
        "2 looks in a row were no better than update 10 by the held-out rewards"
    )
    assert stop_reason(looks, best_look(looks), patience=0) == ""
    worse = [look(0, 0.5, 0.5), look(10, 0.4, 0.4)]
    assert stop_reason(worse, best_look(worse), patience=1) == (
        "a look was no better than the untuned generator by the held-out rewards"
    )


def test_looks_are_read_back_as_they_were_written(tmp_path):
    looks = [BASE, Look(20, values(2), 1.5, ALARM)]
    write_looks(tmp_path / "guards.jsonl", looks)
    assert read_looks(tmp_path / "guards.jsonl") == looks
    assert read_looks(tmp_path / "none.jsonl") == []


def test_the_interval_of_a_figure_is_of_its_change_over_the_same_prompts():
    before, after = values(0)[TUNED], values(1, **{TUNED: 0.4})[TUNED]
    interval = interval_beside(BASE, Look(10, {TUNED: after}, 1.0), TUNED)
    changes = [late - early for early, late in zip(before, after, strict=True)]
    half = 2.33 * statistics.stdev(changes) / math.sqrt(PROMPTS)
    mean = statistics.fmean(after)
    assert (interval.value, interval.low, interval.high) == pytest.approx((mean, mean - half, mean + half))
    same = interval_beside(BASE, BASE, TUNED)
    assert same.low == same.value == same.high


def test_the_interval_of_a_ratio_is_near_that_of_the_bootstrap():
    after = values(1, diversity=-0.05)["diversity"]
    interval = interval_beside(BASE, Look(10, {"diversity": after}, 1.0), "diversity", is_ratio=True)
    drawn = compare(BASE.values["diversity"], after, "ratio")
    assert interval.value == pytest.approx(drawn.value)
    assert (interval.low, interval.high) == pytest.approx((drawn.low, drawn.high), abs=0.004)


def test_of_a_few_prompts_and_of_what_is_not_finite_there_is_no_interval():
    few = Look(0, {TUNED: (0.1,) * 9}, 1.0)
    assert interval_beside(few, few, TUNED) is None
    broken = Look(10, {TUNED: (*BASE.values[TUNED][1:], math.nan)}, 1.0)
    assert interval_beside(BASE, broken, TUNED) is None
    nothing = Look(0, {"diversity": (0.0,) * PROMPTS}, 1.0)
    assert interval_beside(nothing, BASE, "diversity", is_ratio=True) is None

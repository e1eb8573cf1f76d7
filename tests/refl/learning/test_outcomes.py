"""What a run came to by its guards, and how it is told in one sentence."""

import json

import pytest

from refl.learning.config import GUARD_LIMITS, TuningConfig
from refl.learning.looks import HELD_OUT, TUNED, Look, find_alarm, write_looks
from refl.learning.outcomes import Stage, outcome, read_outcome, stages_of

PROMPTS = 12
CONFIG = TuningConfig(updates=40, guard_every=10)
STAGED = TuningConfig(
    updates=40,
    guard_every=10,
    patience=2,
    stages=({"method": "selected"}, {"method": "draft", "updates": 20}),
)


def look(step, tuned, *held_out, stage=1, base=None):
    """A look at as many prompts as an interval needs, all alike; beyond a limit it raises its alarm."""
    names = [TUNED, f"{HELD_OUT}people", f"{HELD_OUT}artifacts"]
    values = {name: (mean,) * PROMPTS for name, mean in zip(names, (tuned, *held_out), strict=False)}
    alarm = find_alarm(base, step, values, GUARD_LIMITS) if base else None
    return Look(step, values, 2.0, alarm, stage)


BASE = look(0, 0.1, 0.5, 0.2)


def summed(looks, config):
    return outcome(looks, stages_of(config, looks))


def sentence(*looks, config=CONFIG):
    return summed([BASE, *looks], config).sentence()


def test_the_outcome_holds_what_was_kept_and_what_it_cost():
    looks = [BASE, look(10, 0.3, 0.6, 0.2), look(20, 0.9, 0.25, 0.2, base=BASE)]
    summary = summed(looks, CONFIG)
    assert (summary.step, summary.best, summary.seconds, summary.is_better) == (20, 10, 6.0, True)
    assert summary.alarm == looks[-1].alarm
    assert summary.base == pytest.approx({TUNED: 0.1, f"{HELD_OUT}people": 0.5, f"{HELD_OUT}artifacts": 0.2})
    assert summary.figures[TUNED] == pytest.approx(0.3)
    assert json.loads(json.dumps(summary.to_dict()))["sentence"] == summary.sentence()


def test_the_last_update_is_kept_where_a_held_out_reward_rose():
    assert sentence(look(20, 0.2, 0.6, 0.2), look(40, 0.4, 0.7, 0.3)) == (
        "The guards kept the last of 40 updates: "
        "held-out reward people rose from 0.5 to 0.7 and held-out reward artifacts rose from 0.2 to 0.3."
    )


def test_the_last_update_is_kept_where_only_the_tuned_reward_rose():
    assert sentence(look(40, 0.4, 0.5, 0.2)) == (
        "The guards kept the last of 40 updates: held-out rewards people and artifacts did not fall, "
        "and the reward it is tuned on rose from 0.1 to 0.4."
    )


def test_an_earlier_update_is_kept_where_no_later_look_was_better():
    assert sentence(look(20, 0.2, 0.6, 0.2), look(40, 0.4, 0.55, 0.2)) == (
        "The guards kept update 20 of 40: "
        "held-out reward people rose from 0.5 to 0.6, and no later look was better."
    )


@pytest.mark.parametrize(
    ("looks", "why"),
    [
        (
            [look(20, 0.4, 0.4, 0.2), look(40, 0.5, 0.3, 0.1)],
            "held-out reward people or artifacts fell in each of 2 looks",
        ),
        ([look(40, 0.5, 0.3, 0.2)], "held-out reward people fell in the only look"),
        (
            [look(20, 0.1, 0.5, 0.2), look(40, 0.5, 0.3, 0.2)],
            "held-out reward people fell in 1 of 2 looks, and in the others no reward rose",
        ),
        (
            [look(20, 0.05, 0.5, 0.2), look(40, 0.1, 0.5, 0.2)],
            "neither held-out rewards people and artifacts nor the reward it is tuned on rose in 2 looks",
        ),
    ],
)
def test_the_untuned_generator_is_kept_where_no_update_was_better(looks, why):
    assert sentence(*looks) == f"The guards kept the untuned generator: {why}."


def test_an_alarm_is_told_with_the_figure_that_raised_it():
    assert sentence(look(10, 0.3, 0.6, 0.2), look(20, 0.9, 0.25, 0.2, base=BASE)) == (
        "The guards kept update 10 of 20: held-out reward people rose from 0.5 to 0.6; "
        "an alarm ended the run: held-out reward people fell from 0.5 to 0.25 by update 20, "
        "while the reward it is tuned on rose (+0.800)."
    )
    assert (
        "kept the untuned generator: there was no look before the alarm; an alarm ended the run"
        in sentence(look(10, 0.9, 0.25, 0.2, base=BASE))
    )


def test_the_end_of_patience_is_told_and_not_where_all_updates_were_made():
    config = TuningConfig(updates=40, guard_every=10, patience=2)
    looks = [look(10, 0.3, 0.6, 0.2), look(20, 0.4, 0.5, 0.2), look(30, 0.4, 0.5, 0.2)]
    assert sentence(*looks, config=config) == (
        "The guards kept update 10 of 30: held-out reward people rose from 0.5 to 0.6, "
        "and no later look was better; the run was ended early, at update 30, "
        "as 2 looks in a row were no better than update 10 by the held-out rewards."
    )
    assert summed([BASE, *looks], config).reason
    whole = TuningConfig(updates=30, guard_every=10, patience=2)
    assert not summed([BASE, *looks], whole).reason
    assert "early" not in sentence(*looks, config=whole)


def test_without_a_held_out_reward_the_newest_is_kept_and_that_is_told():
    looks = [look(0, 0.1), look(40, 0.2)]
    assert summed(looks, CONFIG).sentence() == (
        "The guards kept the last of 40 updates: "
        "it is the newest without an alarm, and there is no held-out reward."
    )


def test_a_stage_that_was_ended_early_is_named_and_the_next_begins_there():
    looks = [BASE, look(10, 0.3, 0.6, 0.2), look(20, 0.4, 0.5, 0.2), look(30, 0.4, 0.5, 0.2)]
    reason = "2 looks in a row were no better than update 10 by the held-out rewards"
    assert stages_of(STAGED, looks) == [Stage(0, 30, reason), Stage(30, 50)]
    looks += [look(40, 0.5, 0.7, 0.2, stage=2), look(50, 0.5, 0.8, 0.2, stage=2)]
    assert stages_of(STAGED, looks) == [Stage(0, 30, reason), Stage(30, 50)]
    assert summed(looks, STAGED).reason == ""
    assert summed(looks, STAGED).sentence() == (
        "The guards kept the last of 50 updates: held-out reward people rose from 0.5 to 0.8; "
        f"stage 1 was ended early, at update 30, as {reason}."
    )


def test_no_stage_begins_after_an_alarm():
    looks = [BASE, look(10, 0.9, 0.25, 0.2, base=BASE)]
    first, second = stages_of(STAGED, looks)
    assert (first.start, first.end, first.reason) == (0, 10, str(looks[-1].alarm))
    assert second == Stage(10, 10, is_skipped=True)


def test_stages_are_as_planned_before_the_guards_looked_or_without_any():
    assert stages_of(STAGED, []) == stages_of(STAGED, [BASE]) == [Stage(0, 40), Stage(40, 60)]


def test_what_is_best_so_far_is_told_of_a_run_at_work():
    assert summed([BASE, look(20, 0.2, 0.6, 0.2)], CONFIG).sentence(is_over=False) == (
        "So far the guards keep update 20: held-out reward people rose from 0.5 to 0.6."
    )


def test_the_outcome_is_read_from_a_runs_folder(tmp_path):
    looks = [BASE, look(40, 0.2, 0.6, 0.2)]
    assert read_outcome(tmp_path, CONFIG) is None
    write_looks(tmp_path / "guards.jsonl", looks)
    assert read_outcome(tmp_path, CONFIG) == summed(looks, CONFIG)

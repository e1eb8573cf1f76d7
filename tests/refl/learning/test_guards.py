"""Guards at work: what they look at, what a run keeps of it, and what an interruption changes: nothing."""

import dataclasses
import json

import pytest
import torch

from refl.learning.config import TuningConfig
from refl.learning.guards import Guards
from refl.learning.looks import best_look, read_looks
from refl.learning.pairs import Preference
from refl.learning.rewards import BadReward
from refl.learning.tuner import Tuner
from rewardmodel.learning.errors import Interrupted
from tests.refl.learning.test_training import CONFIG as UNGUARDED
from tests.refl.learning.test_training import PROMPTS, a_run, equal, redness, weights  # noqa: F401

WATCHED = [
    f"a {colour} {beast}" for beast in ("fox", "owl") for colour in ("blue", "green", "red", "grey", "pink")
]
CONFIG = dataclasses.replace(UNGUARDED, guard_every=2, guard_prompts=10, patience=0)


def blueness(prompts, images):
    return (images[:, 2] - images[:, :2].mean(1)).mean((1, 2))


def brightness(prompts, images):
    return images.mean((1, 2, 3))


REWARDS = {"bright": brightness, "red": redness}


def guards_of(family, folder, rewards=None, **changes):
    config = dataclasses.replace(CONFIG, **changes)
    rewards = REWARDS if rewards is None else rewards
    return Guards(config, Tuner(config, family), rewards, WATCHED, tuned=blueness, folder=folder)


def spoil(tuner, size=0.3):
    """Move all weights, as a run that goes wrong does."""
    chance = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in tuner.weights.parameters:
            parameter += size * torch.randn(parameter.shape, generator=chance)


def test_a_look_measures_every_figure_on_every_prompt_and_repeats_to_the_last_digit(a_family, tmp_path):
    guards = guards_of(a_family, tmp_path)
    guards.start()
    [look] = guards.looks
    assert set(look.values) == {
        *("tuned_reward", "held_out/bright", "held_out/red"),
        *("dark_share", "colour_entropy", "patch_grid", "diversity", "drift"),
    }
    assert {len(values) for values in look.values.values()} == {len(WATCHED)}
    assert (look.figures["drift"], look.alarm) == (0, None)
    assert look.figures["diversity"] > 0
    assert guards.look(0).values == look.values


def test_a_look_leaves_the_weights_and_the_callers_chance_alone(a_family, tmp_path):
    guards = guards_of(a_family, tmp_path)
    before = {name: tensor.clone() for name, tensor in a_family.denoiser.state_dict().items()}
    torch.manual_seed(3)
    guards.start()
    drawn = torch.rand(1)
    torch.manual_seed(3)
    assert torch.equal(drawn, torch.rand(1))
    assert equal(a_family.denoiser.state_dict(), before)


def test_figures_do_not_depend_on_how_many_images_are_sampled_at_once(a_family, tmp_path):
    few, many = (guards_of(a_family, tmp_path, microbatch_size=size).look(0) for size in (1, 64))
    for name, values in few.values.items():
        assert values == pytest.approx(many.values[name], abs=2e-2 if "grid" in name else 5e-3)


@pytest.mark.parametrize(("microbatch", "images"), [(1, 1), (6, 6), (0, 2)])
def test_no_more_images_are_sampled_at_once_than_a_microbatch_holds(
    a_family, calls, tmp_path, microbatch, images
):
    guards_of(a_family, tmp_path, microbatch_size=microbatch, sample_guidance=1.0).look(0)
    assert max(size for size, _ in calls) == images


def test_looks_are_taken_with_the_averaged_weights(a_family, tmp_path):
    guards = guards_of(a_family, tmp_path)
    guards.start()
    spoil(guards.tuner)
    assert guards.look(2).values == guards.looks[0].values  # the average has not moved
    guards.tuner.update_average()
    assert guards.look(2).values != guards.looks[0].values


def test_weights_that_drift_too_far_raise_the_alarm_and_the_best_before_come_back(a_family, tmp_path):
    guards = guards_of(a_family, tmp_path, ema=0.0, guard_limits={"drift": 0.05})
    guards.start()
    best = {name: tensor.clone() for name, tensor in a_family.denoiser.state_dict().items()}
    spoil(guards.tuner, 0.0)
    assert not guards.stop_reason
    spoil(guards.tuner)
    assert guards.watch(2).alarm is not None
    assert guards.stop_reason == str(guards.looks[-1].alarm)
    guards.restore_best()
    assert equal(a_family.denoiser.state_dict(), best)


def test_a_held_out_reward_that_gives_no_number_is_named(a_family, tmp_path):
    broken = {"broken": lambda prompts, images: brightness(prompts, images) * float("nan")}
    with pytest.raises(BadReward, match="the guards' reward 'broken' is not finite"):
        guards_of(a_family, tmp_path, broken).start()


def test_a_held_out_reward_needs_no_gradient(a_family, tmp_path):
    def counted(prompts, images):
        return torch.tensor([float(len(prompt)) for prompt in prompts])

    guards = guards_of(a_family, tmp_path, {"length": counted})
    guards.start()
    assert guards.looks[0].values["held_out/length"] == tuple(float(len(prompt)) for prompt in WATCHED)


NO_ALARM = {"held_out": -9.0, "drift": 9.0, "diversity": 0.0, "colour_entropy": 0.0, "patch_grid": 99.0}
CALM = dataclasses.replace(CONFIG, guard_limits={**NO_ALARM, "dark_share": 9.0})


def guarded(run, config=CALM, **changes):
    return run(config, held_out_rewards=REWARDS, guard_prompts=WATCHED, **changes)


def test_a_run_looks_every_so_often_and_saves_the_weights_of_the_best_look(a_run):  # noqa: F811
    run = a_run()
    config = dataclasses.replace(CALM, updates=5)
    result = guarded(run, config)
    looks = read_looks(run.folder / "guards.jsonl")
    assert [look.step for look in looks] == [0, 2, 4, 5]
    assert [report.look.step for report in run.reports if report.look] == [0, 2, 4, 5]

    best = best_look(looks).step
    short = a_run("short")
    until_then = dataclasses.replace(config, updates=best or 1, guard_every=0)
    expected = short(until_then) if best else run.asked["pipeline"]
    assert equal(weights(result), weights(expected))
    assert not {"best.pt", "guards-base.pt", "checkpoint.pt"} & {file.name for file in run.folder.iterdir()}


@pytest.mark.parametrize("stop_after", [3, 4])
def test_an_interrupted_run_sees_the_same_and_keeps_the_same(a_run, stop_after):  # noqa: F811
    whole, broken = a_run("whole"), a_run("broken")
    expected = guarded(whole)
    with pytest.raises(Interrupted):
        guarded(broken, stop_after=stop_after)
    result = guarded(broken)
    assert seen(broken) == seen(whole)
    assert equal(weights(result), weights(expected))


def test_a_run_that_died_after_a_look_sees_it_again_and_keeps_the_same(a_run):  # noqa: F811
    whole, broken = a_run("whole"), a_run("broken")
    config = dataclasses.replace(CALM, checkpoint_every=3)
    expected = guarded(whole, config)
    with pytest.raises(MemoryError):
        guarded(broken, config, crash_after=5)
    result = guarded(broken, config)
    assert seen(broken) == seen(whole)
    assert equal(weights(result), weights(expected))


def seen(run):
    return [(look.step, look.values, look.alarm) for look in read_looks(run.folder / "guards.jsonl")]


def test_an_alarm_ends_the_run_which_then_saves_what_was_best_before(a_run, pipeline_folder):  # noqa: F811
    run = a_run()
    limits = {**CALM.guard_limits, "drift": 0.2}
    config = dataclasses.replace(CALM, updates=20, ema=0.0, learning_rate=0.05, guard_limits=limits)
    result = guarded(run, config)
    looks = read_looks(run.folder / "guards.jsonl")
    assert looks[-1].alarm.figure == "drift"
    assert run.reports[-1].step == looks[-1].step < 20
    assert looks[-1].step > 2 or equal(weights(result), weights(pipeline_folder))
    assert guarded(run, config) == result  # over is over, stopped or not


def test_a_run_stops_when_its_patience_is_over_and_saves_the_best(a_run, pipeline_folder):  # noqa: F811
    """Tuned on red, with a held-out reward that wants the opposite: the untuned generator stays the best."""
    run = a_run()
    config = dataclasses.replace(
        CALM, updates=20, patience=1, reward_weight=10.0, pretraining_weight=0.0, ema=0.0
    )
    opposite = {"opposite": lambda prompts, images: -redness(prompts, images)}
    result = run(config, held_out_rewards=opposite, guard_prompts=WATCHED)
    assert run.reports[-1].step < 20
    assert equal(weights(result), weights(pipeline_folder))


def test_a_run_without_guards_ends_with_its_last_weights_and_looks_at_nothing(a_run):  # noqa: F811
    run = a_run()
    guarded(run, UNGUARDED)
    assert not (run.folder / "guards.jsonl").exists()
    assert {report.look for report in run.reports} == {None}


def test_the_curves_of_a_run_are_in_files_with_those_of_its_guards(a_run):  # noqa: F811
    whole, broken = a_run("whole"), a_run("broken")
    guarded(whole)
    with pytest.raises(Interrupted):
        guarded(broken, stop_after=3)
    guarded(broken)
    curves = json.loads((whole.folder / "curves/curves.json").read_text())
    assert [step for step, _ in curves["reward"]] == [1, 2, 3, 4, 5, 6]
    assert [step for step, _ in curves["guards/drift"]] == [0, 2, 4, 6]
    assert set(curves) >= {"seconds", "pretraining_loss", "guards/held_out/bright", "guards/diversity"}
    again = json.loads((broken.folder / "curves/curves.json").read_text())
    for clock in ("seconds", "guards/seconds"):
        del curves[clock], again[clock]
    assert again == curves


def test_a_run_that_died_before_its_first_checkpoint_reports_its_start_once(a_run):  # noqa: F811
    run = a_run()
    config = dataclasses.replace(CALM, updates=2, checkpoint_every=2)
    with pytest.raises(MemoryError):
        guarded(run, config, crash_after=1)
    guarded(run, config)
    curves = json.loads((run.folder / "curves/curves.json").read_text())
    assert [step for step, _ in curves["guards/drift"]] == [0, 2]


def test_a_run_of_preferences_alone_is_watched_at_their_prompts(a_run, pairs_folder):  # noqa: F811
    red, green = pairs_folder / "red.png", pairs_folder / "green.png"
    preferences = [Preference(prompt, red, green) for prompt in WATCHED[:2]]
    config = dataclasses.replace(CALM, method="dpo", updates=1)
    run = a_run()
    run(config, prompts=[], pretraining=None, preferences=preferences)
    assert [len(look.values["drift"]) for look in read_looks(run.folder / "guards.jsonl")] == [2, 2]


def test_guards_are_on_unless_they_are_switched_off():
    assert TuningConfig().guard_every > 0
    with pytest.raises(ValueError, match="guard_limits must be numbers by the names of held_out"):
        TuningConfig(guard_limits={"redness": 1.0})
    with pytest.raises(ValueError, match="guards need 2 prompts and 2 images"):
        TuningConfig(guard_images=1)

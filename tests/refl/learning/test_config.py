"""What configures a tuning: the paper's defaults, and what no run can have."""

import json
import math
from pkgutil import resolve_name

import pytest

from refl.learning.config import METHODS, WEIGHTS, TuningConfig
from refl.learning.families import FAMILIES, Family
from refl.learning.methods import Method
from refl.learning.weights import Trainable


def test_the_defaults_are_the_papers():
    config = TuningConfig()
    assert (config.steps, config.late_steps) == (40, (1, 10))
    assert (config.reward_weight, config.reward_ceiling) == (1e-3, 2.0)
    assert (config.learning_rate, config.weight_decay, config.betas) == (1e-5, 1e-2, (0.9, 0.999))
    assert (config.batch_size, config.guidance_scale, config.pretraining_weight) == (64, 1.0, 1.0)


def test_a_stored_configuration_comes_back_equal():
    config = TuningConfig(steps=12, late_steps=(2, 5), seed=7, weights="lora", lora_targets=("to_q",))
    assert TuningConfig(**json.loads(json.dumps(config.to_dict()))) == config


def test_a_configuration_stored_before_there_was_a_choice_of_methods_stays_equal():
    stored = TuningConfig().to_dict()
    assert not {"method", "weights", "lora_rank", "lora_targets"} & set(stored)
    assert TuningConfig(**stored) == TuningConfig(method="refl", weights="all")


def test_a_mixture_of_rewards_is_stored_and_the_lack_of_one_is_not():
    config = TuningConfig(rewards={"reward-3": 1, "reward-3:fidelity": 0.5})
    assert TuningConfig(**json.loads(json.dumps(config.to_dict()))) == config
    assert "rewards" not in TuningConfig().to_dict()


@pytest.mark.parametrize(
    ("places", "protocol"),
    [
        ([entry.place for entry in METHODS.values()], Method),
        (WEIGHTS.values(), Trainable),
        (FAMILIES.values(), Family),
    ],
)
def test_every_registered_name_leads_to_a_class_that_keeps_the_protocol(places, protocol):
    promised = {name for name, value in vars(protocol).items() if callable(value) and name[0] != "_"}
    assert promised
    for place in places:
        assert promised <= set(dir(resolve_name(place)))


REWARDED, PAIRS = {"reward", "prompts"}, {"pairs"}
RAFT = {"method": "selected", "selection": "raft"}


@pytest.mark.parametrize(
    ("values", "needs"),
    [
        ({}, REWARDED | PAIRS),
        ({"method": "draft"}, REWARDED | PAIRS),
        ({"pretraining_weight": 0.0}, REWARDED),
        ({"reward_weight": 0.0}, PAIRS),
        ({"method": "selected"}, {"reward", "pairs"}),
        ({"method": "selected", "selection": "weighted"}, {"reward", "pairs"}),
        ({"method": "selected", "keep_share": 1.0}, PAIRS),
        (RAFT, REWARDED),
        ({"method": "nft", "ema": 0.9}, REWARDED),
        ({"method": "dpo"}, {"preferences"}),
        ({"method": "dpo", "stages": [{}, {"method": "refl"}]}, {"preferences", *REWARDED, *PAIRS}),
        ({"stages": [RAFT, {"method": "draft"}]}, REWARDED),  # which has the pairs that RAFT made
        ({"stages": [{"method": "draft"}, RAFT]}, REWARDED | PAIRS),
    ],
)
def test_what_a_run_has_to_be_given_follows_from_its_configuration(values, needs):
    assert TuningConfig(**values).needs == needs


def test_a_control_learns_from_pairs_that_nothing_chose():
    control = {"reward_weight": 0.0, "keep_share": 1.0}
    assert TuningConfig(**control).is_control
    stages = [{"method": "selected"}, {"method": "draft"}]
    assert TuningConfig(stages=[stage | control for stage in stages]).is_control
    for values in ({}, {"method": "dpo"}, {"stages": stages}, {"method": "selected"}):
        assert not TuningConfig(**values).is_control


def test_a_field_it_does_not_know_is_refused():
    with pytest.raises(TypeError, match="stepps"):
        TuningConfig(stepps=3)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"steps": 8}, "late_steps must lie within 1..8"),
        ({"late_steps": (0, 3)}, "late_steps"),
        ({"late_steps": (5, 3)}, "late_steps"),
        ({"sampler": "heun"}, "sampler"),
        ({"image_size": -8}, "image_size"),
        ({"method": "guesswork"}, "method must be one of refl"),
        ({"weights": "none"}, "weights must be one of all"),
        ({"lora_rank": 0}, "lora_rank must be at least 1"),
        ({"lora_alpha": -1.0}, "lora_alpha"),
        ({"guidance_scale": 0.0}, "guidance_scale"),
        ({"reward_weight": -1.0}, "reward_weight"),
        ({"reward_weight": 0.0, "pretraining_weight": 0.0}, "nor both 0"),
        ({"empty_prompts": 1.5}, "empty_prompts"),
        ({"ema": 1.0}, "ema"),
        ({"updates": 0}, "updates"),
        ({"microbatch_size": -1}, "microbatch_size"),
        ({"learning_rate": 0.0}, "learning_rate"),
        ({"updates": 2.5}, "updates must be a whole number, is 2.5"),
        ({"batch_size": "64"}, "batch_size must be a whole number, is '64'"),
        ({"seed": -1}, "seed"),
        ({"betas": (0.9, 1.0)}, "betas"),
        ({"rewards": ["reward-3"]}, r"rewards must be an object of names and weights, is \['reward-3'\]"),
        ({"rewards": {"reward-3": 0}}, "rewards must each have a weight above 0; that of 'reward-3' is 0"),
        ({"rewards": {"reward-3": "much"}}, "that of 'reward-3' is 'much'"),
        ({"rewards": {" ": 1.0}}, "rewards must each have a name, not ' '"),
        ({"rewards": {"a\0": 1.0}}, r"rewards must each have a name, not 'a\\x00'"),
        ({"rewards": {"\ud800": 1.0}}, "rewards must each have a name"),
        ({"rewards": {"reward-3": 10**400}}, "rewards must each have a weight above 0"),
        ({"stages": {"method": "draft"}}, "stages must be a list"),
        ({"stages": "draft"}, "stages must be a list, is 'draft'"),
        ({"stages": ["draft"]}, "stage 1 must be fields"),
        ({"stages": [{"updates": 2**31 - 1}, {}]}, "updates of all stages must be at most 2,147,483,647"),
        ({"guard_limits": None}, "guard_limits must be numbers by the names of held_out"),
        ({"guard_limits": {"diversity": True}}, "guard_limits must be numbers"),
        ({"guard_limits": {"diversity": math.nan}}, "guard_limits must be numbers"),
        ({"learning_rate": math.inf}, "learning_rate must be a number, is inf"),
        ({"reward_ceiling": "high"}, "reward_ceiling must be a number, is 'high'"),
        ({"ema_warmup": "false"}, "ema_warmup must be true or false, is 'false'"),
        ({"seed": 10**30}, "seed must lie within the whole numbers of 64 bits"),
        ({"late_steps": 3}, "late_steps must be a list, is 3"),
        ({"late_steps": [1.5, 2]}, r"late_steps must be two whole numbers, is \[1.5, 2\]"),
        ({"betas": ["a", "b"]}, "betas must be two decays below 1"),
        ({"lora_targets": "to_q"}, "lora_targets must be a list, is 'to_q'"),
        ({"lora_targets": [1]}, "lora_targets must be ends of layer names"),
        ({"sample_guidance": -5}, "guidance_scale and sample_guidance must be at least 1"),
        ({"method": ["refl"]}, "method must be one of refl"),
    ],
)
def test_a_value_no_run_can_have_is_refused(values, words):
    with pytest.raises(ValueError, match=words):
        TuningConfig(**values)

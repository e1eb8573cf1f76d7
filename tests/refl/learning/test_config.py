"""What configures a ReFL run: the paper's defaults, and what no run can have."""

import json

import pytest

from refl.learning.config import TuningConfig


def test_the_defaults_are_the_papers():
    config = TuningConfig()
    assert (config.steps, config.late_steps) == (40, (1, 10))
    assert (config.reward_weight, config.reward_ceiling) == (1e-3, 2.0)
    assert (config.learning_rate, config.weight_decay, config.betas) == (1e-5, 1e-2, (0.9, 0.999))
    assert (config.batch_size, config.guidance_scale, config.pretraining_weight) == (64, 1.0, 1.0)


def test_a_stored_configuration_comes_back_equal():
    config = TuningConfig(steps=12, late_steps=(2, 5), seed=7)
    assert TuningConfig(**json.loads(json.dumps(config.to_dict()))) == config


def test_a_field_it_does_not_know_is_refused():
    with pytest.raises(TypeError, match="stepps"):
        TuningConfig(stepps=3)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"steps": 8}, "late_steps must lie within 1..8"),
        ({"late_steps": (0, 3)}, "late_steps"),
        ({"late_steps": (5, 3)}, "late_steps"),
        ({"sampler": "euler"}, "sampler"),
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
    ],
)
def test_a_value_no_run_can_have_is_refused(values, words):
    with pytest.raises(ValueError, match=words):
        TuningConfig(**values)

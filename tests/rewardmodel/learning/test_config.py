"""What a run may be configured with."""

import json

import pytest

from rewardmodel.learning.config import RewardConfig, parse_value


@pytest.mark.parametrize(
    "field",
    [
        {"fix_rate": 1.5},
        {"learning_rate": 0},
        {"batch_pairs": 0},
        {"beta1": 1},
        {"max_tokens": 2},
        {"epochs": 2.5},
        {"seed": "7"},
        {"learning_rate": float("nan")},
        {"learning_rate": "fast"},
        {"ties": "sometimes"},
        {"tie_parameter": 0},
        {"slot_margin": -0.1},
        {"ema": 1},
        {"unreadable_images": "ignore"},
        {"lora_rank": -1},
        {"lora_alpha": 0},
        {"soft_labels": True, "ties": "fixed"},
        {"soft_labels": True, "slot_margin": 0.1},
    ],
)
def test_a_config_out_of_range_is_refused_and_names_the_field(field):
    with pytest.raises(ValueError, match=next(iter(field))):
        RewardConfig(**field)


def test_a_config_comes_back_from_json_and_an_unknown_field_is_an_error():
    config = RewardConfig(learning_rate=3e-4, epochs=2)
    stored = json.loads(json.dumps(config.to_dict()))
    assert RewardConfig(**stored) == config
    with pytest.raises(TypeError, match="lerning_rate"):
        RewardConfig(**{**stored, "lerning_rate": 1})


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("dpo", "dpo"),
        ('"dpo"', "dpo"),
        ("3", 3),
        ("1e-4", 1e-4),
        ("true", True),
        ("null", None),
        ("[1, 2]", [1, 2]),
    ],
)
def test_a_value_on_a_command_line_is_a_word_or_json(text, value):
    assert parse_value(text) == value


@pytest.mark.parametrize("text", ["", "True", "two words", "[1, 2", "{fox}"])
def test_a_value_that_is_neither_is_refused(text):
    with pytest.raises(ValueError, match=r"Expecting|delimiter|property"):
        parse_value(text)

"""How a run's configuration is shown to people."""

from rewardmodel.runs.settings import Setting, settings_of


def test_a_value_is_shown_as_people_read_it():
    config = {"seed": 0, "lora": True, "frozen": False, "tokens": "", "none": None, "rate": 1e-5}
    assert {setting.name: setting.text for setting in settings_of(config)} == {
        "seed": "0",
        "lora": "yes",
        "frozen": "no",
        "tokens": "none",
        "none": "none",
        "rate": "1e-05",
    }


def test_a_list_is_shown_by_its_values_and_a_long_one_by_their_number():
    settings = settings_of(
        {"betas": [0.9, 0.999], "empty": [], "hashes": ["0" * 64], "steps": list(range(9))}
    )
    assert [setting.text for setting in settings] == ["0.9, 0.999", "none", "000000000000…", "9 values"]


def test_values_by_name_are_shown_as_entries_and_lists_of_them_as_rows():
    config = {
        "rewards": {"a": 1.0, "b": {"c": 2}},
        "stages": [{"method": "draft", "updates": 5}, {}],
        "x": {},
    }
    assert settings_of(config) == [
        Setting("rewards", entries={"a": "1.0", "b": "c 2"}),
        Setting("stages", rows=("method draft, updates 5", "none")),
        Setting("x", "none"),
    ]


def test_a_name_may_break_between_its_words():
    assert Setting("gradient_checkpointing").parts == ["gradient", "checkpointing"]

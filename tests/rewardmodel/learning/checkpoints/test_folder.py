"""Reward models on disk: what comes back, and what is refused."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from rewardmodel.learning import checkpoints
from rewardmodel.learning.checkpoints.folder import CheckpointConfig
from rewardmodel.learning.errors import CheckpointError


@pytest.fixture
def weights(initial):
    """Change the checkpoint's weights by a function."""

    def change(edit):
        tensors = load_file(initial / "model.safetensors")
        edit(tensors)
        save_file(tensors, initial / "model.safetensors")

    return change


def test_a_model_comes_back_as_it_was_saved(initial, model, backbone):
    read = checkpoints.load(initial)
    assert read.config == CheckpointConfig(backbone)
    for name, weight in model.state_dict().items():
        assert torch.equal(read.model.state_dict()[name], weight)
    assert read.tokenizer("a red circle")["input_ids"] == [2, 5, 6, 8, 3]


def test_half_precision_files_load_as_float32(tmp_path, model, tokenizer, backbone):
    config = CheckpointConfig(backbone, mean=0.5, std=2.0)
    folder = tmp_path / "half"
    checkpoints.save(folder, model=model, tokenizer=tokenizer, config=config, dtype=torch.float16)
    assert load_file(folder / "model.safetensors")["mlp.layers.0.weight"].dtype == torch.float16
    read = checkpoints.load(folder)
    assert {weight.dtype for weight in read.model.state_dict().values()} == {torch.float32}
    assert (read.config.mean, read.config.std) == (0.5, 2.0)


def test_saving_over_a_checkpoint_leaves_the_new_one_and_nothing_else(initial, model, tokenizer, backbone):
    config = CheckpointConfig(backbone, mean=7.0)
    checkpoints.save(initial, model=model, tokenizer=tokenizer, config=config)
    assert checkpoints.load(initial).config.mean == 7.0
    assert [each.name for each in initial.parent.iterdir() if "initial" in each.name] == ["initial"]


@pytest.mark.parametrize("moves", [0, 1])
def test_a_save_that_is_killed_on_its_way_leaves_the_older_checkpoint(
    initial, model, tokenizer, backbone, monkeypatch, moves
):
    made = []

    def move(source, target):
        if len(made) == moves:
            raise KeyboardInterrupt
        made.append(Path(source).rename(target))

    def save():
        config = CheckpointConfig(backbone, mean=7.0)
        checkpoints.save(initial, model=model, tokenizer=tokenizer, config=config)

    with monkeypatch.context() as killed:
        killed.setattr("os.replace", move)
        with pytest.raises(KeyboardInterrupt):
            save()
    assert checkpoints.load(initial).config.mean == 0.0
    save()
    assert checkpoints.load(initial).config.mean == 7.0
    assert [each.name for each in initial.parent.iterdir() if "initial" in each.name] == ["initial"]


def test_missing_and_unexpected_weights_are_all_listed(initial, weights):
    def edit(tensors):
        del tensors["mlp.layers.7.bias"]
        tensors["module.extra"] = torch.zeros(1)
        tensors["mlp.layers.7.weight"] = torch.zeros(1, 3)

    weights(edit)
    with pytest.raises(CheckpointError) as refusal:
        checkpoints.load(initial)
    for part in (
        "model.safetensors",
        "missing mlp.layers.7.bias",
        "unexpected module.extra",
        "mlp.layers.7.weight is [1, 3], not [1, 4]",
    ):
        assert part in str(refusal.value)


def test_a_truncated_file_is_refused_by_name(initial):
    file = initial / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(CheckpointError, match=r"model\.safetensors: truncated"):
        checkpoints.load(initial)


@pytest.mark.parametrize("name", ["config.json", "model.safetensors", "tokenizer.json"])
def test_a_missing_file_is_named(initial, name):
    (initial / name).unlink()
    with pytest.raises(CheckpointError, match=f"{name}: no such file"):
        checkpoints.load(initial)


def test_an_unknown_field_of_the_config_is_refused(initial):
    file = initial / "config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "colour": 1}))
    with pytest.raises(CheckpointError, match="colour"):
        checkpoints.load(initial)


def test_a_path_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(CheckpointError, match="no such checkpoint"):
        checkpoints.load(tmp_path / "nowhere")


def test_a_hub_id_without_a_network_says_what_to_do(monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(CheckpointError, match=r"team/model.*put config\.json"):
        checkpoints.load("team/model")

"""Rankings as a dataset version holds them, and how they come into batches."""

import json

import pytest
import torch
from PIL import ExifTags, Image

from rewardmodel.learning.config import RewardConfig
from rewardmodel.learning.data.batches import collate, micro_batches
from rewardmodel.learning.data.pixels import Pixels
from rewardmodel.learning.data.preprocessing import read_image
from rewardmodel.learning.data.rankings import (
    DatasetError,
    Ranking,
    fingerprint,
    load_rankings,
    load_splits,
)
from rewardmodel.learning.model.backbones.config import ImageInput
from rewardmodel.learning.training.optimiser import learning_rate
from rewardmodel.learning.training.plan import cut_epoch, plan


@pytest.fixture
def a_line(a_dataset):
    """Change the second line of a dataset by a function; the folder."""

    def change(edit):
        folder = a_dataset()
        lines = (folder / "rankings.jsonl").read_text().splitlines()
        lines[1] = edit(json.loads(lines[1]))
        (folder / "rankings.jsonl").write_text("\n".join(lines))
        return folder

    return change


def test_a_split_holds_its_own_rankings_with_their_images_found(a_dataset):
    folder = a_dataset(train=3, validation=2, test=1)
    assert [len(load_rankings(folder, split)) for split in ("train", "validation", "test")] == [3, 2, 1]
    for ranking in load_rankings(folder, "train", folder):
        assert all(path.is_file() for path in ranking.images)
        assert len(ranking.images) == len(ranking.places)


def test_rankings_are_read_from_the_file_one_by_one_in_any_order(a_dataset):
    rankings = load_rankings(a_dataset(train=9), "train")
    assert [rankings[n].id for n in (8, 0, -9, -1)] == ["train-8", "train-0", "train-0", "train-8"]
    assert [one.id for one in rankings[2:8:3]] == ["train-2", "train-5"]
    assert list(rankings.pairs) == [one.pairs for one in rankings]
    with pytest.raises(IndexError):
        rankings[9]


def test_all_splits_are_opened_at_once_each_as_by_itself(a_dataset):
    folder = a_dataset(train=3, validation=2, test=1)
    splits = load_splits(folder)
    assert {name: list(split) for name, split in splits.items()} == {
        name: list(load_rankings(folder, name)) for name in ("train", "validation", "test")
    }
    before = splits["train"].digest
    a_dataset(train=3, validation=2, test=2)
    assert load_splits(folder)["train"].digest != before


def test_the_fingerprint_tells_what_is_learned_and_not_where_it_lies(a_dataset, tmp_path):
    folder = a_dataset()
    train, validation = (load_rankings(folder, split) for split in ("train", "validation"))
    same = fingerprint(train, validation)
    assert fingerprint(load_rankings(folder, "train", tmp_path / "elsewhere"), validation) == same
    others = [(train[:-1], validation), (train[::-1], validation), (validation, train)]
    moved = ([*train, validation[0]], validation[1:])
    assert same not in {fingerprint(*other) for other in [*others, moved]}


def test_a_ranking_in_which_all_tie_is_left_out(a_line):
    folder = a_line(lambda row: json.dumps({**row, "ranking": [2] * len(row["images"])}))
    assert "train-1" not in [ranking.id for ranking in load_rankings(folder, "train")]


def test_ties_are_no_pairs():
    assert Ranking("1", "a", (), (1, 2, 2, 5)).pairs == 5


@pytest.mark.parametrize(
    ("edit", "reason"),
    [
        (lambda row: "{", "line 2"),
        (lambda row: json.dumps({**row, "colour": 1}), "fields"),
        (lambda row: json.dumps({**row, "split": "dev"}), "no split 'dev'"),
        (lambda row: json.dumps({**row, "ranking": [1, 2]}), "images, 2 places"),
        (lambda row: json.dumps({**row, "ranking": [0] * len(row["images"])}), "whole numbers from 1"),
        (lambda row: json.dumps({**row, "ranking": [1.5] * len(row["images"])}), "whole numbers from 1"),
        (lambda row: json.dumps({**row, "images": 3}), "line 2"),
        (lambda row: json.dumps({**row, "images": "x" * len(row["images"])}), "list of paths, not 'xxx"),
        (lambda row: json.dumps({**row, "images": [3, *row["images"][1:]]}), "within it, not 3"),
        (lambda row: json.dumps({**row, "images": ["/etc/a.png", *row["images"][1:]]}), "not '/etc/a.png'"),
        (lambda row: json.dumps({**row, "images": ["../a.png", *row["images"][1:]]}), "not '../a.png'"),
        (lambda row: json.dumps({**row, "images": ["a/../../b", *row["images"][1:]]}), "not 'a/../../b'"),
        (lambda row: json.dumps({**row, "prompt": None}), "a prompt is a text, not None"),
        (lambda row: json.dumps({**row, "preferred": [0.5]}), "1 probabilities for"),
        (lambda row: json.dumps({**row, "preferred": [1.5] * 6}), "from 0 to 1"),
        (lambda row: json.dumps({**row, "preferred": "likely"}), "from 0 to 1"),
    ],
)
def test_a_bad_line_is_refused_by_its_number(a_line, edit, reason):
    with pytest.raises(DatasetError, match=r"rankings\.jsonl, line 2") as refusal:
        load_rankings(a_line(edit), "train")
    assert reason in str(refusal.value)


def test_dots_in_the_path_of_an_image_are_no_harm_while_it_stays_in_its_folder(a_line):
    folder = a_line(
        lambda row: json.dumps(
            {**row, "images": [f"other/../{name}" for name in row["images"][:-1]] + ["a..b"]}
        )
    )
    assert load_rankings(folder, "train")[1].images[-1] == folder / "a..b"


def test_a_missing_dataset_and_an_unknown_split_are_refused(tmp_path, a_dataset):
    with pytest.raises(DatasetError, match="cannot be read"):
        load_rankings(tmp_path, "train")
    with pytest.raises(DatasetError, match="no split 'dev'"):
        load_rankings(a_dataset(), "dev")


def test_shorter_rankings_are_padded_with_place_0(a_dataset, tokenizer):
    rankings = load_rankings(a_dataset(), "train")[:2]
    batch = collate(
        rankings,
        pixels=Pixels(ImageInput(16)),
        tokenizer=tokenizer,
        max_tokens=35,
        device=torch.device("cpu"),
    )
    assert batch.images.shape == (2, 4, 3, 16, 16)
    assert batch.tokens.shape == (2, 5)  # cut to the longest prompt
    assert batch.real.tolist() == [[True, True, True, False], [True] * 4]


def test_an_epoch_has_every_ranking_once_in_batches_of_enough_pairs():
    pairs = [6, 3, 10, 1] * 10
    batches = cut_epoch(pairs, 16, torch.Generator().manual_seed(0))
    assert sorted(index for batch in batches for index in batch) == list(range(40))
    for batch in batches[:-1]:
        assert 16 <= sum(pairs[index] for index in batch) < 16 + 10
    assert batches[0] != list(range(len(batches[0])))


def test_a_run_validates_so_many_times_an_epoch_and_at_its_end():
    for count in (1, 3, 7, 8, 50):
        steps = plan([3] * count, RewardConfig(batch_pairs=3, epochs=2))
        for epoch in (1, 2):
            own = [step for step in steps if step.epoch == epoch]
            assert sum(step.validates for step in own) == min(count, 4)
            assert own[-1].validates


def test_micro_batches_hold_all_and_at_most_so_many_images():
    rankings = [Ranking(str(n), "a", ("x",) * k, tuple(range(1, k + 1))) for n, k in enumerate((4, 3, 9, 2))]
    parts = [[r.id for r in part] for part in micro_batches(rankings, 7)]
    assert parts == [["0", "1"], ["2"], ["3"]]


def test_the_rate_warms_up_then_falls_as_half_a_cosine():
    config = RewardConfig(learning_rate=1.0, warmup=0.1)
    rates = [learning_rate(config, step, 100) for step in range(100)]
    assert rates[:10] == pytest.approx([(n + 1) / 10 for n in range(10)])
    assert rates[10] == 1
    assert rates[55] == pytest.approx(0.5)
    assert 0 < rates[99] < 0.001
    assert learning_rate(RewardConfig(), 0, 100) == 1e-5


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


def test_a_file_is_read_turned_as_people_saw_it(tmp_path):
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    file = tmp_path / "turned.png"
    Image.new("RGB", (9, 7)).save(file, exif=exif)
    assert read_image(file).size == (7, 9)


def test_soft_labels_of_a_batch_say_both_orders_of_each_pair(a_dataset, tokenizer):
    rankings = load_rankings(a_dataset(soft=0.75), "train")[:2]
    options = {"tokenizer": tokenizer, "max_tokens": 35, "device": torch.device("cpu")}
    soft = collate(rankings, pixels=Pixels(ImageInput(16)), **options).preferred
    assert soft.shape == (2, 4, 4)
    assert soft[0].tolist() == [
        [0.5, 0.75, 0.75, 0.5],
        [0.25, 0.5, 0.75, 0.5],
        [0.25, 0.25, 0.5, 0.5],
        [0.5] * 4,  # the first prompt has three images
    ]
    hard = load_rankings(a_dataset(), "train")[:2]
    assert collate(hard, pixels=Pixels(ImageInput(16)), **options).preferred is None

"""Rankings as a dataset version holds them."""

import json

import pytest

from rewardmodel.learning.data.rankings import (
    DatasetError,
    Ranking,
    fingerprint,
    load_rankings,
    load_splits,
)


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

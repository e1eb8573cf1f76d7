"""Pre-training pairs: what a folder of captioned images must be."""

import json

import pytest
import torch

from refl.learning.pairs import BadPairs, load_images, read_pairs


def a_folder(tmp_path, *rows):
    (tmp_path / "pairs.jsonl").write_text("\n".join(rows))
    return tmp_path


def test_pairs_are_read_with_their_images_resized_and_scaled(pairs_folder):
    pairs = read_pairs(pairs_folder)
    assert [pair.prompt for pair in pairs] == [f"a {c} page" for c in ("red", "green", "blue", "white")]
    images = load_images(pairs, (16, 16))
    assert images.shape == (4, 3, 16, 16)
    assert images[0, :, 0, 0].tolist() == [1.0, -1.0, -1.0]
    assert torch.equal(images[2, 2], torch.ones(16, 16))


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ("{", "row 2"),
        (json.dumps(["red.png", "red"]), "row 2.*wanted an object"),
        (json.dumps({"file": "red.png"}), "row 2.*wanted an object"),
        (json.dumps({"file": "red.png", "prompt": "a", "extra": 1}), "row 2.*wanted an object"),
        (json.dumps({"file": "red.png", "prompt": 3}), "row 2.*must be text"),
        (json.dumps({"file": "gone.png", "prompt": "a"}), r"row 2.*no file .*gone\.png"),
    ],
)
def test_a_row_that_is_no_pair_is_refused_with_its_number(tmp_path, row, words):
    (tmp_path / "red.png").write_bytes(b"")
    good = json.dumps({"file": "red.png", "prompt": "a red page"})
    assert len(read_pairs(a_folder(tmp_path, good))) == 1
    with pytest.raises(BadPairs, match=words):
        read_pairs(a_folder(tmp_path, good, row))


def test_a_folder_without_pairs_is_refused(tmp_path):
    with pytest.raises(BadPairs, match=r"pairs\.jsonl"):
        read_pairs(tmp_path)
    with pytest.raises(BadPairs, match="no pairs"):
        read_pairs(a_folder(tmp_path, ""))
    (tmp_path / "pairs.jsonl").write_bytes(b"\xff\xfe\xff")
    with pytest.raises(BadPairs, match="utf-8"):
        read_pairs(tmp_path)


def test_a_file_that_is_no_image_is_named(tmp_path):
    (tmp_path / "red.png").write_text("not an image")
    pairs = read_pairs(a_folder(tmp_path, json.dumps({"file": "red.png", "prompt": "a"})))
    with pytest.raises(BadPairs, match=r"red\.png"):
        load_images(pairs, (16, 16))

"""Pre-training pairs: what a folder of captioned images must be."""

import json
import shutil

import numpy as np
import pytest
import torch
from PIL import ExifTags, Image

from refl.learning.pairs import BadPairs, load_images, read_pairs


def a_folder(tmp_path, *rows):
    (tmp_path / "pairs.jsonl").write_text("\n".join(rows), encoding="utf-8")
    return tmp_path


def a_row(file, prompt="a red page"):
    return json.dumps({"file": file, "prompt": prompt})


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
        ("{", "row 2: no JSON"),
        ("[" * 100_000, "row 2: no JSON"),
        (a_row("red.png", "half of a \ud83d"), "row 2.*must be text"),
        (a_row("x" * 300), "row 2.*too long"),
        (a_row("."), "row 2: no file"),
        (json.dumps(["red.png", "red"]), "row 2.*wanted an object"),
        (json.dumps({"file": "red.png"}), "row 2.*wanted an object"),
        (json.dumps({"file": "red.png", "prompt": "a", "extra": 1}), "row 2.*wanted an object"),
        (json.dumps({"file": "red.png", "prompt": 3}), "row 2.*must be text"),
        (json.dumps({"file": "gone.png", "prompt": "a"}), r"row 2.*no file .*gone\.png"),
    ],
)
def test_a_row_that_is_no_pair_is_refused_with_its_number(tmp_path, row, words):
    Image.new("RGB", (4, 4), "red").save(tmp_path / "red.png")
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


@pytest.mark.parametrize("name", ["red.png", "red.jpg", "red.webp", "red.gif", "red.bmp"])
@pytest.mark.parametrize("share", [0, 0.5, 0.98])
def test_an_image_that_is_cut_off_is_named_with_its_row_before_any_is_used(tmp_path, name, share):
    folder = a_folder(tmp_path, a_row("whole.png"), "", a_row(name))
    noise = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    for file in ("whole.png", name):
        Image.fromarray(noise).save(tmp_path / file)
    assert load_images(read_pairs(folder), (16, 16)).shape == (2, 3, 16, 16)
    content = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(content[: int(share * len(content))])
    with pytest.raises(BadPairs, match=rf"pairs\.jsonl, row 3: .*{name}.*leave the row out"):
        read_pairs(folder)


def test_a_file_that_is_no_image_is_named(tmp_path):
    (tmp_path / "red.png").write_text("not an image")
    with pytest.raises(BadPairs, match=r"row 1: .*red\.png: not a whole image"):
        read_pairs(a_folder(tmp_path, a_row("red.png")))


def test_an_image_that_breaks_after_it_was_looked_at_is_named(pairs_folder, tmp_path):
    folder = shutil.copytree(pairs_folder, tmp_path / "pairs")
    pairs = read_pairs(folder)
    (folder / "red.png").unlink()
    with pytest.raises(BadPairs, match=r"red\.png: no such image"):
        load_images(pairs, (16, 16))


def test_what_only_looks_odd_is_read(tmp_path):
    """What follows a JPEG's end, lines as Windows ends them, and captions with a line separator in them."""
    image = Image.new("RGB", (8, 4), "red")
    image.putpixel((0, 0), (0, 0, 255))
    image.save(tmp_path / "red.jpg", exif=Image.Exif())
    with (tmp_path / "red.jpg").open("ab") as file:
        file.write(b"a camera's own notes")
    rows = [a_row("red.jpg"), '{"file": "red.jpg", "prompt": "two\u2028lines"}']
    (tmp_path / "pairs.jsonl").write_bytes("\r\n".join(rows).encode("utf-8-sig"))
    assert [pair.prompt for pair in read_pairs(tmp_path)] == ["a red page", "two\u2028lines"]


def test_a_photograph_taken_upright_is_learned_upright(tmp_path):
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    image = Image.new("RGB", (16, 16), "red")
    image.paste("blue", (0, 0, 8, 16))  # the left half; turned clockwise by a quarter, the upper one
    image.save(tmp_path / "red.png", exif=exif)
    pixels = load_images(read_pairs(a_folder(tmp_path, a_row("red.png"))), (16, 16))[0]
    assert pixels[:, 0, 15].tolist() == [-1.0, -1.0, 1.0]
    assert pixels[:, 15, 0].tolist() == [1.0, -1.0, -1.0]

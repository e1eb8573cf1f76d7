"""Which images of a judgement are stored, and how."""

import pytest
from PIL import Image

from refl.judged_images import LARGEST, STORED, JudgedPair, judged_file, read_judged, store_judged


def images(count, size=(16, 16), shade=0):
    return [Image.new("RGB", size, (shade + number, 10, 20)) for number in range(count)]


def test_a_pair_is_read_back_pixel_by_pixel_with_its_prompt_and_seed(tmp_path):
    store_judged(tmp_path, ["a fox", "ein Fuchs \N{FOX FACE}"], [5, 6], images(2), images(2, shade=100))
    size = (16, 16)
    assert read_judged(tmp_path) == [
        JudgedPair("a fox", 5, size, size),
        JudgedPair("ein Fuchs \N{FOX FACE}", 6, size, size),
    ]
    for side, shade in (("before", 1), ("after", 101)):
        with Image.open(judged_file(tmp_path, 1, side)) as image:
            assert image.convert("RGB").getpixel((3, 3)) == (shade, 10, 20)


def test_large_images_are_stored_smaller_and_their_size_is_known(tmp_path):
    large = images(1, size=(2 * LARGEST, LARGEST))
    store_judged(tmp_path, ["a fox"], [5], large, large)
    [pair] = read_judged(tmp_path)
    assert pair.after == (LARGEST, LARGEST // 2)
    with Image.open(judged_file(tmp_path, 0, "after")) as image:
        assert image.size == pair.after
    assert large[0].size == (2 * LARGEST, LARGEST)  # what is judged is as it was


def test_only_the_first_pairs_are_stored_and_a_second_judgement_replaces_them(tmp_path):
    count = STORED + 3
    store_judged(tmp_path, ["a fox"] * count, range(count), images(count), images(count))
    assert [pair.seed for pair in read_judged(tmp_path)] == list(range(STORED))
    store_judged(tmp_path, ["a cat"], [9], images(1), images(1))
    assert [pair.prompt for pair in read_judged(tmp_path)] == ["a cat"]
    assert not judged_file(tmp_path, 1, "before").exists()


def test_nothing_is_stored_of_pairs_that_do_not_match(tmp_path):
    with pytest.raises(ValueError, match="shorter"):
        store_judged(tmp_path, ["a fox", "a cat"], [5, 6], images(2), images(1))
    assert read_judged(tmp_path) == []

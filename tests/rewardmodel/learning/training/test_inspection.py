"""What is told from an image file at a glance."""

import pytest
from PIL import Image

from rewardmodel.learning.training.inspection import what_is_wrong

FORMATS = ["png", "jpeg", "webp"]


@pytest.fixture(params=FORMATS)
def image(request, tmp_path):
    file = tmp_path / f"image.{request.param}"
    Image.effect_noise((300, 200), 60).convert("RGB").save(file)
    return file


def test_a_whole_image_is_fine(image):
    assert what_is_wrong(image) == ""


@pytest.mark.parametrize("share", [0.5, 0.98])
def test_one_cut_off_is_not(image, share):
    content = image.read_bytes()
    image.write_bytes(content[: int(share * len(content))])
    assert "not a whole image" in what_is_wrong(image)


def test_an_empty_file_one_of_zeros_and_none_at_all_are_told_apart(image):
    size = image.stat().st_size
    image.write_bytes(b"")
    assert what_is_wrong(image) == "the file is empty"
    image.write_bytes(bytes(size))
    assert "not a whole image" in what_is_wrong(image)
    image.unlink()
    assert what_is_wrong(image) == "no such image"

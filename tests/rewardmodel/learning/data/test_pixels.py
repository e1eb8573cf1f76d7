"""Images are decoded and fitted once, by whichever run comes first; what is kept is never another's."""

import dataclasses
import os
import threading

import pytest
import torch
from PIL import Image

from rewardmodel.learning.data.pixels import Pixels
from rewardmodel.learning.data.preprocessing import UnreadableImage, read_image, to_pixels
from rewardmodel.learning.data.stored_tensors import RECORDS
from rewardmodel.learning.model.backbones.config import ImageInput

WANTED = ImageInput(16)
ROOM = 1 << 20


@pytest.fixture
def photo(tmp_path):
    path = tmp_path / "photo.webp"
    Image.effect_noise((40, 24), 80).convert("RGB").save(path, lossless=True)
    return path


def kept(folder):
    """How many images lie there, of each kind of input."""
    return sorted(file.stat().st_size // (3 * 16 * 16) for file in folder.glob(f"*/{RECORDS}"))


def test_what_is_kept_is_what_decoding_gives(photo, tmp_path):
    exact = to_pixels(read_image(photo), WANTED)
    for _ in range(2):
        pixels = Pixels(WANTED, tmp_path / "kept", ROOM)
        assert torch.equal(pixels.get(photo), exact)
        assert torch.equal(pixels.get(photo), exact)
    assert torch.equal(Pixels(WANTED).get(photo), exact)
    assert kept(tmp_path / "kept") == [1]


def test_a_second_run_reads_what_the_first_decoded(photo, tmp_path):
    Pixels(WANTED, tmp_path / "kept", ROOM).get(photo)
    twin = tmp_path / "twin.webp"
    os.link(photo, twin)
    Pixels(WANTED, tmp_path / "kept", ROOM).get(twin)
    assert kept(tmp_path / "kept") == [1]  # the same content under another name


def test_a_file_that_changed_is_decoded_anew(photo, tmp_path):
    before = Pixels(WANTED, tmp_path / "kept", ROOM).get(photo)
    Image.new("RGB", (16, 16), "red").save(photo, lossless=True)
    after = Pixels(WANTED, tmp_path / "kept", ROOM).get(photo)
    assert not torch.equal(after, before)
    assert torch.equal(after, to_pixels(read_image(photo), WANTED))


def test_what_another_model_wants_to_see_is_kept_apart(photo, tmp_path):
    squashed = dataclasses.replace(WANTED, fit="squash")
    cropped = Pixels(WANTED, tmp_path / "kept", ROOM).get(photo)
    assert not torch.equal(Pixels(squashed, tmp_path / "kept", ROOM).get(photo), cropped)
    assert kept(tmp_path / "kept") == [1, 1]
    darker = dataclasses.replace(WANTED, mean=(0.5, 0.5, 0.5))  # taken out after reading
    assert torch.equal(Pixels(darker, tmp_path / "kept", ROOM).get(photo), cropped)
    assert kept(tmp_path / "kept") == [1, 1]


def test_where_there_is_no_room_images_are_decoded_each_time(photo, tmp_path):
    pixels = Pixels(WANTED, tmp_path / "kept", limit=100)
    assert torch.equal(pixels.get(photo), to_pixels(read_image(photo), WANTED))
    assert kept(tmp_path / "kept") == [0]


@pytest.mark.parametrize("content", [b"", b"no image"])
def test_an_unreadable_file_is_named_and_not_kept(tmp_path, content):
    path = tmp_path / "broken.png"
    path.write_bytes(content)
    pixels = Pixels(WANTED, tmp_path / "kept", ROOM)
    with pytest.raises(UnreadableImage, match=r"broken\.png"):
        pixels.get(path)
    with pytest.raises(UnreadableImage, match=r"missing\.png: no such image"):
        pixels.get(tmp_path / "missing.png")
    assert kept(tmp_path / "kept") == [0]


@pytest.mark.parametrize("room", [0, ROOM], ids=["kept nowhere", "kept"])
def test_prefetched_images_are_decoded_in_other_threads_to_the_same_pixels(photo, tmp_path, room):
    exact = to_pixels(read_image(photo), WANTED)
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"no image")
    pixels = Pixels(WANTED, tmp_path / "kept", room)
    pixels.prefetch([photo, broken, photo])
    assert any(thread.name.startswith("pixels") for thread in threading.enumerate())
    assert torch.equal(pixels.get(photo), exact)
    with pytest.raises(UnreadableImage, match=r"broken\.png"):
        pixels.get(broken)
    pixels.prefetch([photo])
    pixels.close()
    assert not any(thread.name.startswith("pixels") for thread in threading.enumerate())
    assert torch.equal(pixels.get(photo), exact)
    assert kept(tmp_path / "kept") == ([1] if room else [])

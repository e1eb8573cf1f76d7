"""Images of every kind a folder may hold, as the model sees them."""

import struct
import zlib

import numpy as np
import pytest
from PIL import ExifTags, Image, ImageOps

from rewardmodel.learning.data.preprocessing import UnreadableImage, read_image, to_pixels
from rewardmodel.learning.model.backbones.config import ImageInput
from rewardmodel.learning.training.inspection import what_is_wrong


@pytest.fixture
def picture():
    """48 x 32, red grows to the right and blue downwards."""
    red, blue = np.meshgrid(np.linspace(0, 255, 48), np.linspace(0, 255, 32))
    return Image.fromarray(np.stack([red, np.full_like(red, 80), blue], axis=-1).astype(np.uint8))


def difference(one, other):
    return np.abs(np.asarray(one, dtype=int) - np.asarray(other, dtype=int)).max()


@pytest.mark.parametrize(
    ("mode", "suffix", "allowed"),
    [
        ("RGB", "png", 0),
        ("RGBA", "png", 0),
        ("P", "gif", 60),  # the palette of 256 colours is all that is lost
        ("P", "png", 60),
        ("CMYK", "jpg", 20),
        ("CMYK", "tiff", 1),
        ("YCbCr", "tiff", 4),
    ],
)
def test_whatever_the_file_keeps_its_colours_in_the_model_sees_them(picture, tmp_path, mode, suffix, allowed):
    path = tmp_path / f"picture.{suffix}"
    picture.convert(mode).save(path)
    assert read_image(path).mode == "RGB"
    assert difference(read_image(path), picture) <= allowed


@pytest.mark.parametrize("mode", ["L", "LA", "1"])
def test_grey_is_grey(picture, tmp_path, mode):
    path = tmp_path / "grey.png"
    picture.convert(mode).save(path)
    red, green, blue = read_image(path).split()
    assert difference(red, green) == difference(red, blue) == 0


@pytest.mark.parametrize("suffix", ["png", "tiff", "pgm"])
def test_grey_of_16_bits_keeps_its_shades(tmp_path, suffix):
    path = tmp_path / f"grey.{suffix}"
    shades = np.linspace(0, 65535, 256).astype(np.uint16).reshape(16, 16)
    Image.fromarray(shades).save(path)
    assert difference(read_image(path).getchannel(0), np.arange(256).reshape(16, 16)) == 0


@pytest.mark.parametrize("kind", [np.int32, np.float32])
def test_numbers_of_any_range_are_refused_by_their_mode_and_never_taken_for_white(tmp_path, kind):
    path = tmp_path / "depths.tiff"
    Image.fromarray(np.linspace(0, 1000, 256).astype(kind).reshape(16, 16)).save(path)
    mode = Image.open(path).mode
    assert mode in ("I", "F")
    with pytest.raises(UnreadableImage, match=rf"depths\.tiff: .*of mode {mode}, which does not say"):
        read_image(path)
    with pytest.raises(UnreadableImage, match=f"of mode {mode}"):
        read_image(Image.open(path))
    assert f"of mode {mode}" in what_is_wrong(path)


def test_of_a_transparent_palette_the_colours_are_kept_as_the_published_code_does(picture, tmp_path):
    path = tmp_path / "transparent.png"
    picture.convert("P").save(path, transparency=0)
    assert difference(read_image(path), Image.open(path).convert("RGB")) == 0


def test_of_an_animation_the_first_frame_counts(picture, tmp_path):
    path = tmp_path / "moving.gif"
    picture.save(path, save_all=True, append_images=[picture.transpose(Image.Transpose.ROTATE_180)])
    assert difference(read_image(path), picture) <= 60


def test_a_photograph_is_turned_as_its_exif_says_from_a_path_and_from_memory(picture, tmp_path):
    path, exif = tmp_path / "turned.png", Image.Exif()
    exif[0x0112] = 6  # to be turned a quarter clockwise
    picture.save(path, exif=exif)
    turned = picture.transpose(Image.Transpose.ROTATE_270)
    assert difference(read_image(path), turned) == 0
    assert difference(read_image(Image.open(path)), turned) == 0


@pytest.mark.parametrize("orientation", range(1, 10))
def test_every_turn_is_the_one_of_pillow(picture, tmp_path, orientation):
    path, exif = tmp_path / "turned.png", Image.Exif()
    exif[0x0112] = orientation
    picture.save(path, exif=exif)
    assert difference(read_image(path), ImageOps.exif_transpose(Image.open(path))) == 0


def test_an_image_is_turned_even_where_the_rest_of_its_exif_is_damaged(picture, tmp_path):
    path, exif = tmp_path / "damaged.png", Image.Exif()
    exif[0x0112], exif[0x011A] = 6, 72.0  # the resolution: a fraction ...
    damaged = exif.tobytes().replace(
        struct.pack(">HHI", 0x011A, 5, 1), struct.pack(">HHI", 0x011A, 7, 8)
    )  # ... said to be 8 bytes of anything
    picture.save(path, exif=damaged)
    with pytest.raises(TypeError):
        ImageOps.exif_transpose(Image.open(path))
    assert difference(read_image(path), picture.transpose(Image.Transpose.ROTATE_270)) == 0


def test_a_missing_an_empty_and_a_cut_off_file_and_a_folder_are_named(picture, tmp_path):
    (tmp_path / "empty.webp").touch()
    (tmp_path / "folder.png").mkdir()
    picture.save(tmp_path / "cut.png")
    (tmp_path / "cut.png").write_bytes((tmp_path / "cut.png").read_bytes()[:90])
    for name, reason in [
        ("none.png", "no such image"),
        ("empty.webp", "not a whole image"),
        ("folder.png", "not a whole image"),
        ("cut.png", "not a whole image"),
    ]:
        with pytest.raises(UnreadableImage, match=f"{name}: {reason}"):
            read_image(tmp_path / name)
    with pytest.raises(UnreadableImage, match=r"cut\.png: not a whole image"):
        read_image(Image.open(tmp_path / "cut.png"))


def test_a_file_that_unpacks_to_gigabytes_is_refused_before_it_is_decoded(tmp_path):
    def chunk(kind, content):
        return (
            struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
        )

    header = struct.pack(">IIBBBBB", 60000, 60000, 8, 2, 0, 0, 0)  # 10.8 GB of colours
    bomb = tmp_path / "bomb.png"
    bomb.write_bytes(
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", b"") + chunk(b"IEND", b"")
    )
    with pytest.raises(UnreadableImage, match=r"bomb\.png: not a whole image \(.*decompression bomb"):
        read_image(bomb)


@pytest.mark.parametrize("size", [(1, 60_000), (60_000, 1), (2, 202)])
def test_an_image_too_narrow_to_be_fitted_by_its_short_side_is_refused(tmp_path, size):
    path = tmp_path / "narrow.png"
    Image.new("RGB", size).save(path)
    with pytest.raises(UnreadableImage, match=r"narrow\.png: .*pixels are too long and narrow"):
        read_image(path)
    assert "too long and narrow" in what_is_wrong(path)
    Image.new("RGB", (2, 200)).save(path)
    assert to_pixels(read_image(path), ImageInput(size=16)).shape == (3, 16, 16)
    assert what_is_wrong(path) == ""


def test_what_is_no_image_is_refused_by_its_type():
    with pytest.raises(TypeError, match="not ndarray"):
        read_image(np.zeros((16, 16, 3), dtype=np.uint8))


def test_a_file_is_read_turned_as_people_saw_it(tmp_path):
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    file = tmp_path / "turned.png"
    Image.new("RGB", (9, 7)).save(file, exif=exif)
    assert read_image(file).size == (7, 9)

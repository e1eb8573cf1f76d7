"""A score in a PNG's text: where the WebUI looks for it, and nothing else of the file changed."""

import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from rewardmodel.learning.cli.png_info import PngInfoError, write_score


@pytest.fixture
def picture(tmp_path):
    """Write a PNG with these texts, resolution and colour profile."""

    def write(**texts):
        info = PngInfo()
        for name, text in texts.items():
            info.add_text(name, text, zip=name == "zipped")
        path = tmp_path / "picture.png"
        Image.new("RGBA", (20, 10), (200, 10, 30, 128)).save(
            path, pnginfo=info, dpi=(300, 300), icc_profile=b"colours"
        )
        return path

    return write


def texts(path):
    with Image.open(path) as image:
        image.load()
        return image.text


def test_a_score_is_written_where_the_webui_script_wrote_it(picture):
    path = picture()
    write_score(path, 0.58116)
    assert texts(path) == {"parameters": "ImageReward Score: 0.5812"}


def test_it_is_added_to_the_parameters_and_gives_way_to_a_later_one(picture):
    path = picture(parameters="a cat\nSteps: 20", Comment="kept")
    write_score(path, 0.5)
    write_score(path, -1.25)
    expected = "a cat\nSteps: 20\n ImageReward Score: -1.2500"
    assert texts(path) == {"parameters": expected, "Comment": "kept"}


def test_text_beyond_latin_letters_stays(picture):
    path = picture(parameters="猫, sehr schön")
    write_score(path, 2.0)
    assert texts(path)["parameters"] == "猫, sehr schön\n ImageReward Score: 2.0000"


def test_pixels_and_all_else_stay_as_they_were(picture):
    path = picture(zipped="x" * 100)
    path.chmod(0o640)
    with Image.open(path) as image:
        before, info = image.tobytes(), image.info
    write_score(path, 1.0)
    with Image.open(path) as image:
        assert image.tobytes() == before
        assert {name: image.info[name] for name in info} == info
    with Image.open(path) as image:
        image.verify()
    assert path.stat().st_mode & 0o777 == 0o640
    assert [each.name for each in path.parent.iterdir()] == ["picture.png"]


def test_what_is_no_whole_png_is_refused_and_left_alone(picture, tmp_path):
    cut = picture()
    cut.write_bytes(cut.read_bytes()[:70])
    photograph = tmp_path / "photograph.png"
    Image.new("RGB", (8, 8)).save(photograph, format="JPEG")
    for path, reason in ((cut, "picture"), (photograph, "not a PNG"), (tmp_path / "none.png", "none")):
        before = path.read_bytes() if path.exists() else None
        with pytest.raises(PngInfoError, match=f"{path.name}.*{reason}" if path == photograph else path.name):
            write_score(path, 1.0)
        assert (path.read_bytes() if path.exists() else None) == before
    assert {each.name for each in tmp_path.iterdir()} == {"picture.png", "photograph.png"}

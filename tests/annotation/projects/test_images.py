"""Image files: what is refused, and that equal bytes are kept once."""

import hashlib
import io
import resource
import zlib
from uuid import uuid4

import PIL.ExifTags
import PIL.Image
import pytest

from annotation.models import Image
from annotation.selectors.projects.images import visible_image
from annotation.services.projects.images import MAX_ASPECT_RATIO, ImageRefused, check_image, store_images
from rewardmodel.learning.data import preprocessing
from rewardmodel.learning.data.preprocessing import UnreadableImage, read_image
from tests.cast import huge_png, picture
from tests.limits import limited


@pytest.mark.parametrize(("kind", "format"), [("PNG", "png"), ("JPEG", "jpeg"), ("WEBP", "webp")])
def test_a_picture_is_known_by_the_hash_of_its_bytes(tmp_path, kind, format):
    file = tmp_path / "fox"
    file.write_bytes(picture(1, kind, size=(9, 7)))
    checked = check_image(file)
    assert checked.sha256 == hashlib.sha256(file.read_bytes()).hexdigest()
    assert (checked.format, checked.width, checked.height) == (format, 9, 7)
    assert checked.size == file.stat().st_size
    assert check_image(file.read_bytes()).sha256 == checked.sha256


def test_a_picture_of_twenty_thousand_pixels_a_side_is_refused_before_it_is_decoded(tmp_path):
    file = tmp_path / "bomb.png"
    file.write_bytes(huge_png())
    with pytest.raises(ImageRefused, match=r"bomb\.png: .*64,000,000"):
        check_image(file)


def test_a_picture_over_the_projects_limits_is_refused_and_one_within_is_not(settings):
    settings.IMAGE_MAX_PIXELS = 64
    assert check_image(picture(1, size=(8, 8)))
    with pytest.raises(ImageRefused, match="9 x 8 pixels"):
        check_image(picture(1, size=(9, 8)))
    settings.IMAGE_MAX_BYTES = len(picture(1)) - 1
    with pytest.raises(ImageRefused, match="bytes are more"):
        check_image(picture(1))


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
def test_a_truncated_picture_is_refused(tmp_path, kind):
    file = tmp_path / "cut"
    noise = PIL.Image.effect_noise((64, 64), 90).convert("RGB")
    noise.save(file, kind)
    whole = file.read_bytes()
    assert check_image(file)
    file.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ImageRefused, match="cut: is"):
        check_image(file)


@pytest.mark.parametrize("content", [b"", b"no picture", b"GIF89a\x01\0\x01\0\0\0\0;", b"\x89PNG\r\n\x1a\n"])
def test_a_file_that_is_no_picture_is_refused(tmp_path, content):
    file = tmp_path / "text.png"
    file.write_bytes(content)
    with pytest.raises(ImageRefused, match=r"text\.png: is"):
        check_image(file)


def test_a_missing_file_and_a_folder_are_refused(tmp_path):
    with pytest.raises(ImageRefused, match="is missing"):
        check_image(tmp_path / "nowhere.png")
    with pytest.raises(ImageRefused, match="cannot be read"):
        check_image(tmp_path)


def test_an_animation_is_refused(tmp_path):
    frames = [PIL.Image.new("RGB", (8, 8), shade) for shade in ("red", "blue")]
    for file in (tmp_path / "film.webp", tmp_path / "film.png"):
        frames[0].save(file, save_all=True, append_images=frames[1:])
        with pytest.raises(ImageRefused, match="animated"):
            check_image(file)


def stored(checked):
    return store_images([checked])[checked.sha256]


def test_equal_bytes_are_kept_once_under_their_hash(db, media):
    first, again = (stored(check_image(picture(3))) for _ in range(2))
    assert first == again
    assert first.file.name == f"{first.sha256[:2]}/{first.sha256}.png"
    assert first.file.read() == picture(3)
    assert [file.name for file in media.rglob("*.*")] == [f"{first.sha256}.png"]
    assert Image.objects.count() == 1


def test_files_that_differ_in_metadata_alone_are_kept_once_without_it(db, media):
    """The hash is of the bytes that are kept, and a file that is turned has the size that it is shown at."""
    exif = PIL.Image.Exif()
    exif[PIL.ExifTags.Base.Orientation] = 6
    images = set()
    for maker in ("secretive-v9", "secretive-v10"):
        exif[PIL.ExifTags.Base.Software] = maker
        file = io.BytesIO()
        PIL.Image.new("RGB", (9, 7)).save(file, "JPEG", exif=exif)
        images.add(stored(check_image(file.getvalue())))
    (image,) = images
    content = image.file.read()
    assert b"secretive" not in content
    assert (image.sha256, image.bytes) == (hashlib.sha256(content).hexdigest(), len(content))
    assert (image.width, image.height) == (7, 9)
    assert len(list(media.rglob("*.*"))) == 1


def test_a_file_that_a_dying_process_left_half_written_is_written_again(db, media):
    checked = check_image(picture(3))
    left = media / checked.stored_name
    left.parent.mkdir(parents=True)
    left.write_bytes(picture(3)[:10])
    assert stored(checked).file.read() == picture(3)


def test_on_a_full_disk_no_part_of_a_file_is_under_its_name(db, media):
    checked = check_image(picture(3))
    with limited(resource.RLIMIT_FSIZE, 40), pytest.raises(OSError, match="File too large"):
        stored(checked)
    assert not [file for file in media.rglob("*") if file.is_file()]


def test_a_file_that_changed_since_it_was_checked_is_refused(db, tmp_path):
    file = tmp_path / "fox.png"
    file.write_bytes(picture(1))
    checked = check_image(file)
    file.write_bytes(picture(2))
    with pytest.raises(ImageRefused, match="changed"):
        stored(checked)
    assert not Image.objects.exists()


def test_members_see_their_projects_images_and_outsiders_do_not(alice, rita, ada, eve, a_prompt, a_project):
    shown = a_prompt().generations.first().image
    for member in (alice, rita, ada):
        assert visible_image(member, shown.token) == shown
    assert visible_image(eve, shown.token) is None
    elsewhere = a_prompt(project=a_project()).generations.first().image
    assert visible_image(alice, elsewhere.token) is None
    assert visible_image(ada, elsewhere.token) == elsewhere
    assert visible_image(alice, uuid4()) is None


def chunk(kind, body, checksum=None):
    return len(body).to_bytes(4) + kind + body + (checksum or zlib.crc32(kind + body).to_bytes(4))


LARGE = zlib.compress(b"x" * (2**20 + 1))
BAD = b"\1\2\3\4"


def with_chunk(*parts):
    """A picture with another chunk before its pixels."""
    return picture(1)[:33] + chunk(*parts) + picture(1)[33:]


@pytest.mark.parametrize(
    "added",
    [
        (b"zTXt", b"workflow\0\0" + LARGE),
        (b"iTXt", b"workflow\0\1\0\0\0" + LARGE),
        (b"iCCP", b"profile\0\0" + LARGE),
        (b"iCCP", b"profile\0\0no stream"),
        (b"iCCP", b"profile\0\0" + zlib.compress(b"profile"), BAD),
        (b"tEXt", b"parameters\0a fox", BAD),
        (b"eXIf", b"MM\0*", BAD),
    ],
)
def test_what_is_thrown_away_may_be_large_or_damaged(tmp_path, added):
    """By the import and, as it cannot know of that, by the reader of reward models."""
    file = tmp_path / "fox.png"
    file.write_bytes(with_chunk(*added))
    assert check_image(file).sha256 == check_image(picture(1)).sha256
    assert read_image(file).tobytes() == PIL.Image.open(io.BytesIO(picture(1))).convert("RGB").tobytes()


@pytest.mark.parametrize("added", [(b"gAMA", b"\0\0\xb1\x8f", BAD), (b"PLTE", b"\0\0\0", BAD)])
def test_what_is_shown_may_not_be_damaged(tmp_path, added):
    file = tmp_path / "fox.png"
    file.write_bytes(with_chunk(*added))
    with pytest.raises(ImageRefused, match=rf"fox\.png: is broken \(wrong checksum of {added[0].decode()}\)"):
        check_image(file)
    with pytest.raises(UnreadableImage):
        read_image(file)


def test_a_picture_that_no_model_can_take_is_refused_at_the_door():
    assert MAX_ASPECT_RATIO == preprocessing.MAX_ASPECT_RATIO
    assert check_image(picture(1, size=(2, 200)))
    for size in ((2, 201), (3000, 1)):
        with pytest.raises(ImageRefused, match="too long and narrow: one side may be 100 times the other"):
            check_image(picture(1, size=size))

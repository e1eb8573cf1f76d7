"""Small versions of images: what they look like, who gets them, and where they are kept."""

import io
import os
import resource
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import PIL.Image
import PIL.ImageCms
import pytest
from django.core.files.storage import default_storage
from django.test import Client

from annotation.models import Generation
from annotation.services.projects.images import check_image, store_images
from annotation.thumbnails import (
    FOLDERS,
    SIDE,
    ImageLost,
    StorageSilent,
    is_small,
    open_image,
    open_thumbnail,
)
from tests.cast import picture
from tests.limits import limited

LARGE = (800, 400)


@pytest.fixture(autouse=True)
def cache(settings, tmp_path):
    settings.THUMBNAIL_CACHE_DIR = tmp_path / "thumbnails"
    return settings.THUMBNAIL_CACHE_DIR


def stored(content):
    return next(iter(store_images([check_image(content)]).values()))


def encoded(image, kind="PNG", **options):
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def shrunk(content):
    with open_thumbnail(stored(content)) as file:
        small = PIL.Image.open(io.BytesIO(file.read()))
    assert small.format == "WEBP"
    return small


def seen_by(person, token):
    client = Client()
    client.force_login(person)
    return client.get(f"/images/{token}/small")


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
def test_a_large_picture_is_shrunk_without_cropping_it(db, kind):
    small = shrunk(picture(70, kind, size=LARGE))
    assert small.size == (SIDE, SIDE // 2)
    assert small.mode == "RGB"
    assert all(abs(a - b) < 6 for a, b in zip(small.getpixel((5, 5)), (70, 0, 128), strict=True))


def test_a_picture_stands_upright_as_its_file_says(db):
    sideways = PIL.Image.Exif()
    sideways[0x0112] = 6  # turned a quarter to the right when shown
    image = PIL.Image.new("RGB", LARGE, "red")
    assert shrunk(encoded(image, "JPEG", exif=sideways)).size == (SIDE // 2, SIDE)


def test_transparency_stays(db):
    assert shrunk(encoded(PIL.Image.new("RGBA", LARGE, (200, 0, 0, 0)))).getpixel((5, 5))[3] == 0
    palette = PIL.Image.new("P", LARGE, 0)
    palette.info["transparency"] = 0
    assert shrunk(encoded(palette, transparency=0)).getpixel((5, 5))[3] == 0


def test_sixteen_bits_a_pixel_are_not_clipped(db):
    grey = PIL.Image.new("I;16", LARGE, 100 * 256)
    assert abs(shrunk(encoded(grey)).getpixel((5, 5))[0] - 100) < 4


def test_colours_of_another_profile_look_as_in_a_browser(db):
    profile = PIL.ImageCms.ImageCmsProfile(PIL.ImageCms.createProfile("sRGB"))
    plain = shrunk(picture(90, size=LARGE))
    with_profile = encoded(PIL.Image.new("RGB", LARGE, (90, 0, 128)), icc_profile=profile.tobytes())
    same = shrunk(with_profile)
    assert "icc_profile" not in same.info
    assert all(abs(a - b) < 4 for a, b in zip(plain.getpixel((9, 9)), same.getpixel((9, 9)), strict=True))
    broken = encoded(PIL.Image.new("RGB", LARGE, (90, 0, 128)), icc_profile=b"no profile")
    assert shrunk(broken).size == (SIDE, SIDE // 2)


def test_a_small_version_is_made_once(db, cache):
    image = stored(picture(1, size=LARGE))
    with open_thumbnail(image) as first, open_thumbnail(image) as again:
        assert first.read() == again.read()
    (file,) = cache.rglob("*.webp")
    assert file.name == f"{image.sha256}.webp"
    default_storage.delete(image.file.name)
    with open_thumbnail(image) as cached:
        assert cached.read() == file.read_bytes()


def test_the_cache_keeps_to_its_limit_and_the_oldest_goes(db, cache, settings):
    images = []
    for number in range(200):  # until two share a folder
        images.append(stored(picture(number, size=LARGE)))
        folders = [image.sha256[:2] for image in images]
        if len(set(folders)) < len(folders):
            break
    older = images[folders.index(folders[-1])]
    with open_thumbnail(older) as file:
        size = len(file.read())
    settings.THUMBNAIL_CACHE_BYTES = FOLDERS * size * 3 // 2  # room for one of these two
    with open_thumbnail(images[-1]) as file:
        assert file.read()
    (left,) = cache.rglob("*.webp")
    assert left.stem == images[-1].sha256


def test_a_cache_that_cannot_be_written_costs_time_and_nothing_else(db, cache, caplog):
    cache.write_bytes(b"no folder")
    small = shrunk(picture(70, size=LARGE))
    assert small.size == (SIDE, SIDE // 2)
    assert str(cache) in caplog.text


def test_what_another_process_is_writing_stays_and_what_a_killed_one_left_goes(db, cache, settings):
    settings.THUMBNAIL_CACHE_BYTES = 0
    image = stored(picture(1, size=LARGE))
    folder = cache / image.sha256[:2]
    folder.mkdir(parents=True)
    for name, age in (("young", 5), ("old", 600)):
        (folder / f".new-{name}").write_bytes(b"half")
        os.utime(folder / f".new-{name}", (time.time() - age,) * 2)
    with open_thumbnail(image) as file:
        assert file.read()
    assert [left.name for left in folder.iterdir()] == [".new-young"]


def test_a_file_that_is_slow_to_come_holds_up_no_other(db):
    slow, quick = stored(picture(1, size=LARGE)), stored(picture(2, size=LARGE))
    content = Path(slow.file.path).read_bytes()
    os.remove(slow.file.path)
    os.mkfifo(slow.file.path)
    with ThreadPoolExecutor(2) as threads:
        waiting = threads.submit(open_thumbnail, slow)
        with open(slow.file.path, "wb") as source:  # once the other end is open
            with threads.submit(open_thumbnail, quick).result(timeout=20) as file:
                assert file.read()
            assert not waiting.done()
            source.write(content)
        with waiting.result(timeout=20) as file:
            assert file.read()


def test_a_lost_or_broken_file_says_which_it_is(db):
    lost, broken = stored(picture(1, size=LARGE)), stored(picture(2, size=LARGE))
    default_storage.delete(lost.file.name)
    with pytest.raises(ImageLost, match=lost.sha256):
        open_thumbnail(lost)
    Path(broken.file.path).write_bytes(b"no picture")
    with pytest.raises(ImageLost, match=broken.sha256):
        open_thumbnail(broken)


@pytest.mark.parametrize("open_file", [open_image, open_thumbnail])
def test_a_file_that_a_process_cannot_open_now_is_not_lost(db, open_file):
    image = stored(picture(1, size=LARGE))
    with limited(resource.RLIMIT_NOFILE, 3), pytest.raises(StorageSilent, match="Too many open files"):
        open_file(image)
    with open_file(image) as file:
        assert file.read()


def test_small_versions_come_with_lasting_caching_and_only_to_members(a_prompt, alice, eve):
    image = stored(picture(5, size=LARGE))
    Generation.objects.filter(prompt=a_prompt(images=1)).update(image=image)
    image.refresh_from_db()
    page = seen_by(alice, image.token)
    assert page.headers["Content-Type"] == "image/webp"
    assert page.headers["Cache-Control"] == "private, max-age=31536000, immutable"
    assert page.headers["X-Content-Type-Options"] == "nosniff"
    assert page.headers["Content-Disposition"] == 'inline; filename="image.webp"'
    content = b"".join(page.streaming_content)
    assert int(page.headers["Content-Length"]) == len(content)
    assert PIL.Image.open(io.BytesIO(content)).size == (SIDE, SIDE // 2)
    assert seen_by(eve, image.token).status_code == 404
    assert Client().get(f"/images/{image.token}/small").status_code == 404
    client = Client()
    client.force_login(alice)
    tag = {"If-None-Match": page.headers["ETag"]}
    assert client.get(f"/images/{image.token}/small", headers=tag).status_code == 304
    assert client.get(f"/images/{image.token}", headers=tag).status_code == 200  # other bytes


def test_a_picture_that_is_small_is_served_as_it_is(a_prompt, alice, cache):
    image = a_prompt(images=1).generations.get().image
    assert is_small(image)
    page = seen_by(alice, image.token)
    assert page.headers["Content-Type"] == "image/png"
    assert b"".join(page.streaming_content)[:4] == b"\x89PNG"
    assert not cache.exists()


def test_a_lost_file_is_not_there_instead_of_an_error(a_prompt, alice):
    image = a_prompt(images=1).generations.get().image
    default_storage.delete(image.file.name)
    client = Client()
    client.force_login(alice)
    assert seen_by(alice, image.token).status_code == 404
    assert client.get(f"/images/{image.token}").status_code == 404


@pytest.mark.parametrize("address", ["/images/{}", "/images/{}/small"])
def test_a_file_that_was_cut_short_is_not_there_and_logged(a_prompt, alice, caplog, address):
    image = a_prompt(images=1).generations.get().image
    file = Path(image.file.path)
    file.write_bytes(file.read_bytes()[:-20])
    client = Client()
    client.force_login(alice)
    assert client.get(address.format(image.token)).status_code == 404
    [said] = [each.message for each in caplog.records if each.name == "annotation.image_files"]
    assert said == f"{image.file.name}: has {image.bytes - 20} bytes in the storage, not {image.bytes}"


@pytest.mark.parametrize("address", ["/images/{}", "/images/{}/small"])
@pytest.mark.parametrize("size", [(8, 8), LARGE])
def test_a_file_that_was_damaged_at_the_same_length_is_not_there_and_logged(
    a_prompt, alice, caplog, address, size
):
    image = stored(encoded(PIL.Image.effect_noise(size, 90), "JPEG"))
    Generation.objects.filter(prompt=a_prompt(images=1)).update(image=image)
    file = Path(image.file.path)
    content = bytearray(file.read_bytes())
    content[-20] ^= 1  # decoders draw it all the same
    file.write_bytes(content)
    client = Client()
    client.force_login(alice)
    assert client.get(address.format(image.token)).status_code == 404
    [said] = [each.message for each in caplog.records if each.name == "annotation.image_files"]
    assert said == f"{image.file.name}: the storage has other bytes than were stored"

"""Image files as local files: fetched once, whole and right, within a bound, wherever they are stored."""

import hashlib
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage

from annotation.local_images import local_images

SIZE = 1000  # bytes of each image here


def store(number):
    """Returns: the name of a new image, whose bytes are no picture: nobody looks at them here."""
    content = number.to_bytes(4) * (SIZE // 4)
    sha256 = hashlib.sha256(content).hexdigest()
    return default_storage.save(f"{sha256[:2]}/{sha256}.png", ContentFile(content))


def cached(settings):
    return {path.name for path in (settings.IMAGE_CACHE_DIR / "images").rglob("*") if path.is_file()}


def use(*names):
    """Have the images fetched, and be done with them."""
    with local_images(names) as folder:
        assert all((folder / name).stat().st_size == SIZE for name in names)
    time.sleep(0.01)  # the kernel's clock, by which files are touched, ticks every few milliseconds


def elsewhere(code, *arguments):
    """A Python process with the settings of this test."""
    command = "import django, sys; django.setup()\n" + code
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    return subprocess.Popen([sys.executable, "-c", command, *arguments], **pipes)


def test_files_of_a_local_storage_are_used_where_they_lie(media, settings, tmp_path):
    settings.IMAGE_CACHE_DIR = tmp_path / "image_cache"

    def names():
        pytest.fail("there was no need to ask")
        yield

    name = store(1)
    with local_images(names()) as folder:
        assert folder == media
        assert (folder / name).is_file()
    assert not settings.IMAGE_CACHE_DIR.exists()


def test_images_kept_elsewhere_are_fetched_once(remote, settings):
    name = store(1)
    with local_images([name, name]) as folder:
        first = (folder / name).stat()
        assert (folder / name).read_bytes() == (remote / name).read_bytes()
    (remote / name).unlink()
    with local_images([name]) as folder:
        assert (folder / name).stat().st_ino == first.st_ino


def test_an_image_that_is_nowhere_is_missing_in_the_folder_too(remote):
    name = store(1)
    default_storage.delete(name)
    with local_images([name]) as folder:
        assert not (folder / name).exists()


def test_an_image_with_other_content_than_was_stored_is_missing_and_named(remote, settings, caplog):
    name = store(1)
    (remote / name).write_bytes(b"cut off")
    with local_images([name]) as folder:
        assert not (folder / name).exists()
    assert f"{name}: the storage has 7 bytes that are not what was stored" in caplog.text
    assert cached(settings) == set()


def test_what_was_used_longest_ago_goes_first(remote, settings):
    settings.IMAGE_CACHE_BYTES = 3 * SIZE
    one, two, three, four = map(store, range(4))
    use(one, two)
    use(three)
    use(one)
    use(four)
    assert cached(settings) == {Path(name).name for name in (one, three, four)}


def test_a_use_may_need_more_than_the_bound_and_the_bound_holds_again_after_it(remote, settings):
    settings.IMAGE_CACHE_BYTES = 3 * SIZE
    before, *many = map(store, range(9))
    use(before)
    with local_images(many) as folder:
        use(*map(store, range(10, 15)))
        assert all((folder / name).is_file() for name in many)
        assert Path(before).name not in cached(settings)
    use(store(20))
    assert len(cached(settings)) == 3


def test_a_use_of_another_process_counts_until_that_one_dies(remote, settings):
    settings.IMAGE_CACHE_BYTES = SIZE
    name = store(1)
    process = elsewhere(
        "from annotation.local_images import local_images\n"
        "from django.conf import settings\n"
        "settings.IMAGE_CACHE_DIR = sys.argv[1]\n"
        "with local_images(sys.argv[2:]):\n"
        "    print('mine', flush=True)\n"
        "    sys.stdin.read()",
        *(str(settings.IMAGE_CACHE_DIR), name),
    )
    try:
        assert process.stdout.readline() == "mine\n"
        use(store(2), store(3))
        assert Path(name).name in cached(settings)
    finally:
        process.send_signal(signal.SIGKILL)
        process.communicate()
    use(store(4))
    assert Path(name).name not in cached(settings)
    assert list((settings.IMAGE_CACHE_DIR / "uses").iterdir()) == []


def test_threads_that_want_the_same_images_at_once_all_get_whole_ones(remote, settings):
    settings.IMAGE_CACHE_BYTES = 5 * SIZE
    names = [store(number) for number in range(40)]

    def check(_):
        for _ in range(5):
            with local_images(names) as folder:
                for name in names:
                    assert hashlib.sha256((folder / name).read_bytes()).hexdigest() == Path(name).stem

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(check, range(8)))
    use(store(50))
    assert len(cached(settings)) <= 5


def test_a_process_killed_while_it_fetches_leaves_no_half_file_under_an_images_name(remote, settings):
    content = os.urandom(10_000_000)
    names = []
    for number in range(4):
        mine = content + bytes([number])
        sha256 = hashlib.sha256(mine).hexdigest()
        names.append(default_storage.save(f"{sha256[:2]}/{sha256}.png", ContentFile(mine)))
    process = elsewhere(
        "from annotation.local_images import local_images\n"
        "from django.conf import settings\n"
        "settings.IMAGE_CACHE_DIR = sys.argv[1]\n"
        "with local_images(sys.argv[2:]):\n"
        "    pass",
        *(str(settings.IMAGE_CACHE_DIR), *names),
    )
    images = settings.IMAGE_CACHE_DIR / "images"
    while process.poll() is None and not any(file.stat().st_size for file in images.rglob(".new-*")):
        time.sleep(0.001)
    process.kill()
    process.communicate()
    for file in images.rglob("*.png"):
        assert hashlib.sha256(file.read_bytes()).hexdigest() == file.stem
    with local_images(names) as folder:
        for name in names:
            assert hashlib.sha256((folder / name).read_bytes()).hexdigest() == Path(name).stem

"""Files that are written whole or not at all."""

import pytest

from annotation.saving import write_shared, write_whole


def test_a_file_is_replaced_only_once_it_is_written(tmp_path):
    file = tmp_path / "a.json"
    file.write_text("before")
    with write_whole(file) as unfinished:
        unfinished.write_text("after")
        assert file.read_text() == "before"
    assert file.read_text() == "after"
    assert list(tmp_path.iterdir()) == [file]


def write_until_the_disk_is_full(file):
    with write_whole(file) as unfinished:
        unfinished.write_text("a part")
        raise OSError("the disk is full")


def test_a_file_whose_writing_fails_stays_as_it_was_with_nothing_beside_it(tmp_path):
    file = tmp_path / "a.json"
    file.write_text("before")
    with pytest.raises(OSError, match="full"):
        write_until_the_disk_is_full(file)
    assert file.read_text() == "before"
    assert list(tmp_path.iterdir()) == [file]


def test_of_two_who_write_a_file_at_once_the_later_is_there_and_nothing_else(tmp_path):
    file = tmp_path / "of" / "a.json"
    with write_shared(file) as first:
        with write_shared(file) as second:
            second.write(b"second")
            assert not file.exists()
        assert file.read_bytes() == b"second"
        first.write(b"first")
    assert file.read_bytes() == b"first"
    assert list(file.parent.iterdir()) == [file]


def test_of_a_shared_file_whose_writing_fails_nothing_is_left(tmp_path):
    def write_a_part():
        with write_shared(tmp_path / "a.json") as file:
            file.write(b"a part")
            raise OSError("the disk is full")

    with pytest.raises(OSError, match="full"):
        write_a_part()
    assert not list(tmp_path.iterdir())

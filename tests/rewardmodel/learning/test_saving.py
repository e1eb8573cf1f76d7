"""Files and folders written whole or not at all."""

import os
from pathlib import Path

import pytest

from rewardmodel.learning.saving import NotSaved, write_whole


@pytest.fixture
def folder(tmp_path) -> Path:
    """A folder written once, with one file in it."""
    with write_whole(tmp_path / "model") as written:
        written.mkdir()
        (written / "weights").write_text("old")
    return tmp_path / "model"


def test_a_folder_takes_the_place_of_the_older_one_and_leaves_nothing_beside_it(folder):
    with write_whole(folder) as written:
        written.mkdir()
        (written / "config").write_text("new")
    assert [file.name for file in folder.iterdir()] == ["config"]
    assert list(folder.parent.iterdir()) == [folder]


def fail(path: Path, error: type[BaseException]) -> None:
    """Write half of a file, then end by the error."""
    with write_whole(path) as written:
        written.write_text("half")
        raise error("no room")


def test_what_cannot_be_written_is_told_and_the_older_one_stays(folder):
    with pytest.raises(NotSaved, match=r"no room.*what was saved there before stays"):
        fail(folder, OSError)
    assert (folder / "weights").read_text() == "old"
    assert list(folder.parent.iterdir()) == [folder]


def test_a_file_is_written_whole_or_not_at_all(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        fail(tmp_path / "state", KeyboardInterrupt)
    assert list(tmp_path.iterdir()) == []
    with write_whole(tmp_path / "state") as written:
        written.write_text("whole")
    assert (tmp_path / "state").read_text() == "whole"


def test_a_folder_that_cannot_be_put_in_its_place_leaves_the_older_one_there(folder, monkeypatch):
    replace = os.replace

    def refuse_the_new(source, target):
        if source.name.endswith(".new"):
            raise OSError("no room")
        replace(source, target)

    monkeypatch.setattr(os, "replace", refuse_the_new)
    with pytest.raises(NotSaved, match="what was saved there before stays"), write_whole(folder) as written:
        written.mkdir()
    assert (folder / "weights").read_text() == "old"
    assert list(folder.parent.iterdir()) == [folder]

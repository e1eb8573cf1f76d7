"""A cache of tensors on disk: what is read is what was written, whatever happened to the files."""

import logging
import resource

import pytest
import torch

from rewardmodel.learning.data.stored_tensors import ENTRY, INDEX, RECORDS, StoredTensors
from tests.limits import limited

KEYS = [bytes([number]) * 32 for number in range(4)]
TENSORS = torch.arange(4 * 6.0).view(4, 2, 3)


@pytest.fixture
def store(tmp_path):
    def opened(name="made-by-a", limit=10_000, dtype=torch.float32):
        return StoredTensors(tmp_path / name, shape=(2, 3), dtype=dtype, limit=limit)

    return opened


def found(store, key):
    into = torch.full((2, 3), -1, dtype=store.dtype)
    return into if store.read(key, into) else None


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.uint8])
def test_what_one_process_writes_another_reads(store, dtype):
    store(dtype=dtype).write(KEYS, TENSORS)
    later = store(dtype=dtype)
    assert all(torch.equal(found(later, key), TENSORS[i].to(dtype)) for i, key in enumerate(KEYS))
    assert found(later, b"x" * 32) is None


def test_two_that_write_the_same_keep_it_once(store, tmp_path):
    first, second = store(), store()
    first.write(KEYS[:2], TENSORS[:2])
    second.write(KEYS, TENSORS)
    assert (tmp_path / "made-by-a" / RECORDS).stat().st_size == 4 * 24
    assert torch.equal(found(second, KEYS[0]), TENSORS[0])


@pytest.mark.parametrize("file", [RECORDS, INDEX])
@pytest.mark.parametrize("damage", ["cut short", "garbage"])
def test_a_damaged_file_gives_nothing_wrong_and_is_filled_again(store, tmp_path, file, damage):
    store().write(KEYS, TENSORS)
    path = tmp_path / "made-by-a" / file
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2 + 5] if damage == "cut short" else b"\x5a" * len(whole))
    damaged = store()
    for number, key in enumerate(KEYS):
        kept = found(damaged, key)
        assert kept is None or torch.equal(kept, TENSORS[number])
    damaged.write(KEYS, TENSORS)
    again = store()
    assert all(torch.equal(found(again, key), TENSORS[i]) for i, key in enumerate(KEYS))


def test_a_record_whose_entry_was_not_written_yet_does_not_count(store, tmp_path):
    store().write(KEYS, TENSORS)
    index = tmp_path / "made-by-a" / INDEX
    index.write_bytes(index.read_bytes()[: 3 * ENTRY.size + 7])  # killed while it wrote the fourth
    killed = store()
    assert found(killed, KEYS[3]) is None
    killed.write(KEYS[3:], TENSORS[3:])
    assert torch.equal(found(store(), KEYS[3]), TENSORS[3])


def test_a_full_disk_ends_the_keeping_and_is_said_once(store, caplog, tmp_path):
    own = store()
    own.write(KEYS[:1], TENSORS[:1])
    with caplog.at_level(logging.WARNING), limited(resource.RLIMIT_FSIZE, 40):
        own.write(KEYS[1:], TENSORS[1:])
        own.write(KEYS[1:], TENSORS[1:])
    assert len(caplog.records) == 1
    assert "no more is kept" in caplog.text
    for each in (own, store()):
        assert torch.equal(found(each, KEYS[0]), TENSORS[0])
        assert found(each, KEYS[1]) is None


def test_it_stays_within_its_limit(store, tmp_path):
    own = store(limit=3 * (24 + ENTRY.size) - 1)
    own.write(KEYS, TENSORS)
    assert [found(own, key) is not None for key in KEYS] == [True, True, False, False]


def test_folders_nobody_uses_make_room_but_those_in_use_stay(store, tmp_path):
    unused = store("made-by-b")
    unused.write(KEYS, TENSORS)
    del unused
    used = store("made-by-c")
    used.write(KEYS[:1], TENSORS[:1])
    own = store(limit=5 * (24 + ENTRY.size))
    own.write(KEYS, TENSORS)
    assert not (tmp_path / "made-by-b").exists()
    assert torch.equal(found(used, KEYS[0]), TENSORS[0])
    assert found(own, KEYS[3]) is not None


def test_without_room_at_all_nothing_is_made(store, tmp_path):
    own = store(limit=0)
    own.write(KEYS, TENSORS)
    assert found(own, KEYS[0]) is None
    assert not list(tmp_path.iterdir())

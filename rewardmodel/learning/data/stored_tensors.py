"""Tensors of one shape on disk, each under the hash of what it was made from; processes share them.

A folder holds `records`, the tensors one after another, and `index`, an entry for each: its key, a checksum
of the record and one of the entry. An entry is written after its record, and a record is compared with its
checksum before it is first given out; so what a killed process, a full disk or somebody else left there is
never taken for a tensor, but made anew. Nothing here is worth a backup.
"""

from __future__ import annotations

import fcntl
import logging
import math
import os
import shutil
import struct
import weakref
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

logger = logging.getLogger(__name__)
RECORDS, INDEX, USE = "records", "index", "in-use"
ENTRY = struct.Struct("<32sII")  # key, checksum of the record, checksum of the entry
SPARE = 2 << 30  # bytes of the disk left to others: a checkpoint must still fit


class StoredTensors:
    """What was made of each key, in one folder beside the folders of other makers.

    Args:
        folder: its name says what made the tensors, so that no other maker's are read. Its parent holds such
            folders only.
        limit: bytes that all folders of the parent may take together. Where a new tensor finds no room,
            folders nobody uses go, the one longest unused first; then no more is kept. With 0, nothing is.
    """

    def __init__(self, folder: Path, *, shape: Sequence[int], dtype: torch.dtype, limit: int) -> None:
        self.folder, self.shape, self.dtype, self.limit = folder, tuple(shape), dtype, limit
        self.record_bytes = math.prod(shape) * dtype.itemsize
        self._slots: dict[bytes, tuple[int, int]] = {}  # key -> record number, its checksum
        self._read = 0  # entries of the index seen so far
        self._checked: set[int] = set()  # records found to be what their checksum says
        self._map: NDArray[np.uint8] | None = None
        self._full = limit == 0
        if limit == 0:
            return
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._use, self._index, self._records = (self._open(name) for name in (USE, INDEX, RECORDS))
            fcntl.flock(self._use, fcntl.LOCK_SH)  # while this is in use, nobody throws it away
            os.utime(folder / USE)
            self._catch_up()
        except OSError as error:
            self._give_up(error)

    def _open(self, name: str) -> int:
        file = os.open(self.folder / name, os.O_RDWR | os.O_CREAT, 0o644)
        weakref.finalize(self, os.close, file)
        return file

    def __contains__(self, key: bytes) -> bool:
        return key in self._slots

    def read(self, key: bytes, into: Tensor) -> bool:
        """Fill `into`, contiguous and on the CPU, with what is kept under the key; False when nothing is."""
        found = self._slots.get(key)
        if found is None:
            return False
        number, checksum = found
        record = self._record(number)
        if record is None or (number not in self._checked and zlib.crc32(record.data) != checksum):
            logger.warning("%s: record %d is damaged, it is made anew", self.folder, number)
            self._slots.pop(key, None)
            return False
        self._checked.add(number)
        into.view(torch.uint8).view(-1).numpy()[:] = record
        return True

    def write(self, keys: Sequence[bytes], tensors: Tensor) -> None:
        """Keep tensors[i] under keys[i], as far as there is room; what is there already stays.

        A disk that is full, or broken, ends the keeping and is logged; it is no error.
        """
        if self._full:
            return
        rows = tensors.detach().to("cpu", self.dtype).contiguous().view(len(keys), -1)
        try:
            with _locked(self._index):
                self._catch_up()
                os.ftruncate(self._index, self._read * ENTRY.size)  # the rest lost its record
                for key, row in zip(keys, rows.view(torch.uint8).numpy(), strict=True):
                    if key not in self._slots:
                        self._make_room()
                        self._append(key, row)
        except OSError as error:
            self._give_up(error)

    def _append(self, key: bytes, row: NDArray[np.uint8]) -> None:
        number, checksum = self._read, zlib.crc32(row.data)
        _write(self._records, row.data, number * self.record_bytes)
        entry = key + checksum.to_bytes(4, "little")
        _write(self._index, entry + zlib.crc32(entry).to_bytes(4, "little"), number * ENTRY.size)
        self._slots[key] = number, checksum
        self._checked.add(number)
        self._read += 1

    def _catch_up(self) -> None:
        """Learn what this and other processes have written: whole entries whose records are there."""
        records = os.fstat(self._records).st_size // self.record_bytes
        entries = min(os.fstat(self._index).st_size // ENTRY.size, records)
        written = os.pread(self._index, (entries - self._read) * ENTRY.size, self._read * ENTRY.size)
        for number, (key, checksum, own) in enumerate(ENTRY.iter_unpack(written), start=self._read):
            if own == zlib.crc32(key + checksum.to_bytes(4, "little")):
                self._slots[key] = number, checksum  # of a damaged record made anew, the later
        self._read = entries

    def _record(self, number: int) -> NDArray[np.uint8] | None:
        """Bytes of a record, in the page cache of the system; None when the file has become shorter."""
        if self._map is None or number >= len(self._map):
            count = os.fstat(self._records).st_size // self.record_bytes
            if number >= count:
                return None
            shape = (count, self.record_bytes)
            self._map = np.memmap(self.folder / RECORDS, dtype=np.uint8, mode="r", shape=shape)
        return self._map[number]

    def _make_room(self) -> None:
        """Raises: OSError when one more record would be over the limit, or the disk nearly full."""
        needed = (self._read + 1) * (self.record_bytes + ENTRY.size)
        others = [each for each in self.folder.parent.iterdir() if each != self.folder and each.is_dir()]
        sizes = {each: _size(each) for each in sorted(others, key=_last_used)}
        for other in sizes:
            if needed + sum(sizes.values()) <= self.limit:
                break
            if _throw_away(other):
                sizes[other] = 0
        if needed + sum(sizes.values()) > self.limit:
            raise OSError(f"its {self.limit:,} bytes are full")
        if shutil.disk_usage(self.folder).free < SPARE + self.record_bytes:
            raise OSError(f"the disk has less than {SPARE:,} bytes left")

    def _give_up(self, error: OSError) -> None:
        self._full = True
        logger.warning("%s: no more is kept (%s); what is missing is made each time", self.folder, error)


@contextmanager
def _locked(file: int) -> Iterator[None]:
    fcntl.flock(file, fcntl.LOCK_EX)
    try:
        yield
    finally:
        fcntl.flock(file, fcntl.LOCK_UN)


def _write(file: int, content: bytes | memoryview, at: int) -> None:
    """All of it, where one call may write a part. Raises: OSError."""
    rest = memoryview(content).cast("B")
    while rest:
        written = os.pwrite(file, rest, at)
        rest, at = rest[written:], at + written


def _size(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.iterdir())


def _last_used(folder: Path) -> float:
    return max((file.stat().st_mtime for file in folder.iterdir()), default=0.0)


def _throw_away(folder: Path) -> bool:
    """Remove it unless a process uses it."""
    try:
        use = os.open(folder / USE, os.O_RDWR)
    except FileNotFoundError:
        return False  # not one of ours
    try:
        fcntl.flock(use, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    else:
        shutil.rmtree(folder, ignore_errors=True)
        return True
    finally:
        os.close(use)

"""A cache of tensors of one shape on disk, each under the hash of its source; processes share it.

A folder holds `records`, the tensors one after another, and `index`, with an entry for each: its key, a
checksum of the record and one of the entry. An entry is written after its record, and a record is verified
before it is first returned; so what a killed process, a full disk or anyone else left there is never taken
for a tensor but computed again. Nothing here needs a backup.
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
    """A tensor for each key, in one of several folders that share a limit.

    Args:
        folder: named by a fingerprint of what computes the tensors. Its parent holds only such folders.
        limit: bytes that all folders of the parent may take. Where a new tensor does not fit, folders not in
            use are removed, the least recently used first; then nothing more is stored. 0 stores nothing.
    """

    def __init__(self, folder: Path, *, shape: Sequence[int], dtype: torch.dtype, limit: int) -> None:
        self.folder, self.shape, self.dtype, self.limit = folder, tuple(shape), dtype, limit
        self.record_bytes = math.prod(shape) * dtype.itemsize
        self._entries: dict[bytes, tuple[int, int]] = {}  # key -> record number, its checksum
        self._read = 0  # entries of the index seen so far
        self._checked: set[int] = set()  # numbers of records verified against their checksum
        self._map: NDArray[np.uint8] | None = None
        self._full = limit == 0
        if limit == 0:
            return
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._lock, self._index, self._records = (self._open(name) for name in (USE, INDEX, RECORDS))
            fcntl.flock(self._lock, fcntl.LOCK_SH)  # while in use, it is not removed
            os.utime(folder / USE)
            self._read_index()
        except OSError as error:
            self._stop_storing(error)

    def _open(self, name: str) -> int:
        file = os.open(self.folder / name, os.O_RDWR | os.O_CREAT, 0o644)
        weakref.finalize(self, os.close, file)
        return file

    def __contains__(self, key: bytes) -> bool:
        return key in self._entries

    def read(self, key: bytes, into: Tensor) -> bool:
        """Fill `into`, contiguous and on the CPU, with the key's tensor; return False if there is none."""
        entry = self._entries.get(key)
        if entry is None:
            return False
        number, checksum = entry
        record = self._record(number)
        if record is None or (number not in self._checked and zlib.crc32(record.data) != checksum):
            logger.warning("%s: record %d is damaged, it is made anew", self.folder, number)
            self._entries.pop(key, None)
            return False
        self._checked.add(number)
        into.view(torch.uint8).view(-1).numpy()[:] = record
        return True

    def write(self, keys: Sequence[bytes], tensors: Tensor) -> None:
        """Store tensors[i] under keys[i], as far as there is room; keys already stored keep their tensors.

        A full or broken disk is logged and ends the storing; it is no error.
        """
        if self._full:
            return
        rows = tensors.detach().to("cpu", self.dtype).contiguous().view(len(keys), -1)
        try:
            with _locked(self._index):
                self._read_index()
                os.ftruncate(self._index, self._read * ENTRY.size)  # the rest lost its record
                for key, row in zip(keys, rows.view(torch.uint8).numpy(), strict=True):
                    if key not in self._entries:
                        self._make_room()
                        self._append(key, row)
        except OSError as error:
            self._stop_storing(error)

    def _append(self, key: bytes, row: NDArray[np.uint8]) -> None:
        number, checksum = self._read, zlib.crc32(row.data)
        _write(self._records, row.data, number * self.record_bytes)
        entry = key + checksum.to_bytes(4, "little")
        _write(self._index, entry + zlib.crc32(entry).to_bytes(4, "little"), number * ENTRY.size)
        self._entries[key] = number, checksum
        self._checked.add(number)
        self._read += 1

    def _read_index(self) -> None:
        """Read the entries that all processes have written since, if their records are complete."""
        records = os.fstat(self._records).st_size // self.record_bytes
        entries = min(os.fstat(self._index).st_size // ENTRY.size, records)
        written = os.pread(self._index, (entries - self._read) * ENTRY.size, self._read * ENTRY.size)
        for number, (key, checksum, entry_checksum) in enumerate(
            ENTRY.iter_unpack(written), start=self._read
        ):
            if entry_checksum == zlib.crc32(key + checksum.to_bytes(4, "little")):
                self._entries[key] = number, checksum  # of a damaged record written again, the later one
        self._read = entries

    def _record(self, number: int) -> NDArray[np.uint8] | None:
        """Return a record's bytes, memory-mapped, or None if the file has become shorter."""
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
            if _remove_unused(other):
                sizes[other] = 0
        if needed + sum(sizes.values()) > self.limit:
            raise OSError(f"its {self.limit:,} bytes are full")
        if shutil.disk_usage(self.folder).free < SPARE + self.record_bytes:
            raise OSError(f"the disk has less than {SPARE:,} bytes left")

    def _stop_storing(self, error: OSError) -> None:
        self._full = True
        logger.warning("%s: no more is kept (%s); what is missing is made each time", self.folder, error)


@contextmanager
def _locked(file: int) -> Iterator[None]:
    fcntl.flock(file, fcntl.LOCK_EX)
    try:
        yield
    finally:
        fcntl.flock(file, fcntl.LOCK_UN)


def _write(file: int, content: bytes | memoryview, offset: int) -> None:
    """Write all of it, where one call may write a part. Raises: OSError."""
    rest = memoryview(content).cast("B")
    while rest:
        written = os.pwrite(file, rest, offset)
        rest, offset = rest[written:], offset + written


def _size(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.iterdir())


def _last_used(folder: Path) -> float:
    return max((file.stat().st_mtime for file in folder.iterdir()), default=0.0)


def _remove_unused(folder: Path) -> bool:
    """Remove the folder unless a process uses it; return whether it is gone."""
    try:
        use = os.open(folder / USE, os.O_RDWR)
    except FileNotFoundError:
        return False  # not a cache folder
    try:
        fcntl.flock(use, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    else:
        shutil.rmtree(folder, ignore_errors=True)
        return True
    finally:
        os.close(use)

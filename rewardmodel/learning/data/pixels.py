"""What a model sees of each image file: decoded and fitted once, kept on disk as bytes, read ever after."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import PIL
import torch
from torch import Tensor

from rewardmodel.learning.data.preprocessing import read_image, to_pixels
from rewardmodel.learning.data.stored_tensors import StoredTensors
from rewardmodel.learning.model.backbones.config import ImageInput

FORMAT = 2  # raised when the same file would give other pixels


class Pixels:
    """Image files as a model wants them.

    Args:
        folder: of all pixels kept on this machine, for this model's input and for others; None keeps nothing.
        limit: bytes that they may take together. 150 kB an image at 224 px.
    """

    def __init__(self, wanted: ImageInput, folder: Path | None = None, limit: int = 0) -> None:
        self.wanted = wanted
        self.shape = (3, wanted.size, wanted.size)
        self._digests: dict[Path, bytes] = {}
        self._coming: dict[Path, Future[tuple[Tensor, bool]]] = {}
        self._threads: ThreadPoolExecutor | None = None
        self._store = None
        if folder is not None:
            name = _fingerprint(wanted)
            self._store = StoredTensors(folder / name, shape=self.shape, dtype=torch.uint8, limit=limit)

    def get(self, path: Path) -> Tensor:
        """(3, size, size) uint8. Raises: UnreadableImage."""
        coming = self._coming.pop(path, None)
        pixels, fresh = self._find(path) if coming is None else coming.result()
        if fresh and self._store is not None:
            self._store.write([self.digest(path)], pixels[None])
        return pixels

    def expect(self, paths: Iterable[Path]) -> None:
        """Decode these in other threads meanwhile, in place of what was expected before and never got.

        What goes wrong is raised where one is got.
        """
        if self._threads is None:
            self._threads = ThreadPoolExecutor(thread_name_prefix="pixels")
        before, find = self._coming, self._threads.submit
        self._coming = {path: before.get(path) or find(self._find, path) for path in paths}

    def close(self) -> None:
        """Expect nothing any more."""
        self._coming.clear()
        if self._threads is not None:
            self._threads.shutdown(cancel_futures=True)
            self._threads = None

    def _find(self, path: Path) -> tuple[Tensor, bool]:
        """Its pixels, and whether they were decoded just now. Threads may share this."""
        pixels = torch.empty(self.shape, dtype=torch.uint8)
        if self._store is not None and self._store.read(self.digest(path), pixels):
            return pixels, False
        return to_pixels(read_image(path), self.wanted), True

    def digest(self, path: Path) -> bytes:
        """SHA-256 of the file, which is read once; all 0 where it cannot be, of which decoding complains."""
        if path not in self._digests:
            try:
                with path.open("rb") as file:
                    self._digests[path] = hashlib.file_digest(file, "sha256").digest()
            except OSError:
                return bytes(32)
        return self._digests[path]


def _fingerprint(wanted: ImageInput) -> str:
    """Same text: the same pixels of the same file. Mean and deviation are taken out later."""
    said = [FORMAT, PIL.__version__, wanted.size, wanted.fit]
    return hashlib.sha256(json.dumps(said).encode()).hexdigest()[:32]

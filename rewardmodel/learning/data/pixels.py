"""Image files as model input: decoded and fitted once, then read from a cache on disk."""

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
    """Image files, decoded and fitted to a model's input.

    Args:
        folder: of the cache, shared with the inputs of other models; None caches nothing.
        limit: bytes that the cache may take. 150 kB an image at 224 px.
    """

    def __init__(self, image_input: ImageInput, folder: Path | None = None, limit: int = 0) -> None:
        self.image_input = image_input
        self.shape = (3, image_input.size, image_input.size)
        self._digests: dict[Path, bytes] = {}
        self._pending: dict[Path, Future[tuple[Tensor, bool]]] = {}
        self._threads: ThreadPoolExecutor | None = None
        self._store = None
        if folder is not None:
            name = _fingerprint(image_input)
            self._store = StoredTensors(folder / name, shape=self.shape, dtype=torch.uint8, limit=limit)

    def get(self, path: Path) -> Tensor:
        """(3, size, size) uint8. Raises: UnreadableImage."""
        pending = self._pending.pop(path, None)
        pixels, decoded = self._load(path) if pending is None else pending.result()
        if decoded and self._store is not None:
            self._store.write([self.digest(path)], pixels[None])
        return pixels

    def prefetch(self, paths: Iterable[Path]) -> None:
        """Decode these in other threads, in place of those prefetched before and never got.

        Errors are raised by `get`.
        """
        if self._threads is None:
            self._threads = ThreadPoolExecutor(thread_name_prefix="pixels")
        pending, submit = self._pending, self._threads.submit
        self._pending = {path: pending.get(path) or submit(self._load, path) for path in paths}

    def close(self) -> None:
        """Drop what is being prefetched, and end the threads."""
        self._pending.clear()
        if self._threads is not None:
            self._threads.shutdown(cancel_futures=True)
            self._threads = None

    def _load(self, path: Path) -> tuple[Tensor, bool]:
        """Return the pixels, and whether they were decoded just now. Called from several threads."""
        pixels = torch.empty(self.shape, dtype=torch.uint8)
        if self._store is not None and self._store.read(self.digest(path), pixels):
            return pixels, False
        return to_pixels(read_image(path), self.image_input), True

    def digest(self, path: Path) -> bytes:
        """Return SHA-256 of the file, read once; all 0 if it cannot be read, as decoding will say."""
        if path not in self._digests:
            try:
                with path.open("rb") as file:
                    self._digests[path] = hashlib.file_digest(file, "sha256").digest()
            except OSError:
                return bytes(32)
        return self._digests[path]


def _fingerprint(image_input: ImageInput) -> str:
    """Name what decides a file's pixels; mean and deviation are taken out later."""
    key = [FORMAT, PIL.__version__, image_input.size, image_input.fit]
    return hashlib.sha256(json.dumps(key).encode()).hexdigest()[:32]

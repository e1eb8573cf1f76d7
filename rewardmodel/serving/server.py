"""The scorer's side: takes requests in, prepares their images in threads, and answers them."""

from __future__ import annotations

import fcntl
import logging
import os
import socket
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict, dataclass
from io import BytesIO
from pathlib import Path
from threading import Condition, Thread
from typing import TYPE_CHECKING

from PIL import Image, UnidentifiedImageError

from rewardmodel.learning.data.png import without_unseen
from rewardmodel.serving import protocol
from rewardmodel.serving.batching import BatchQueue, Request
from rewardmodel.serving.client import CONNECT_SECONDS, name_of
from rewardmodel.serving.metrics import Metrics
from rewardmodel.serving.model_cache import ModelCache
from rewardmodel.serving.protocol import Address, Channel, Message

if TYPE_CHECKING:
    from torch import Tensor

    from rewardmodel.learning.scoring import Scorer

logger = logging.getLogger(__name__)
FORMATS = ("PNG", "JPEG", "WEBP")
SENDING_SECONDS = 10.0  # within which a request must be here once it may come
DRAIN_SECONDS = 5.0
LISTEN_SECONDS = 1.0  # a signal that comes just before we wait for a connection does not end that wait


class AlreadyServed(Exception):
    """Another scorer listens at this address."""


class Unreadable(ValueError):
    """An image cannot be scored; the message says why."""


@dataclass(frozen=True)
class Limits:
    """batch: images scored at a time. waiting: images, and bytes of files, that may be here unanswered.

    pixels: of an image. A request that alone is over the limit of what waits is taken when nothing else is.
    """

    batch: int
    waiting: int
    waiting_bytes: int
    pixels: int
    idle_seconds: float


class Server:
    """One scorer process. Args: address: where it listens; key: what whoever asks must hold."""

    def __init__(self, *, address: Address, key: bytes, limits: Limits, models: ModelCache) -> None:
        self.address, self.key, self.limits, self.models = address, key, limits, models
        self.metrics = Metrics()
        self.batches = BatchQueue(
            limit=limits.batch, metrics=self.metrics, idle=models.clear, idle_seconds=limits.idle_seconds
        )
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
        self.decoders = ThreadPoolExecutor(cores, thread_name_prefix="decoder")
        self.images = self.bytes = 0  # taken in and not answered
        self.changed = Condition()

    def serve(self) -> None:
        """Answer until a signal's exception ends it, then finish what is in hand. Raises: AlreadyServed."""
        with _listener(self.address) as listener:
            logger.info("listening at %s", name_of(self.address))
            Thread(target=self._compute, daemon=True, name="batches").start()
            listener.settimeout(LISTEN_SECONDS)
            try:
                while True:
                    with suppress(TimeoutError):
                        connection, _ = listener.accept()
                        Thread(target=self._answer, args=(connection,), daemon=True).start()
            finally:
                if isinstance(self.address, str):
                    Path(self.address).unlink(missing_ok=True)
                self._drain()

    def _compute(self) -> None:
        try:
            self.batches.run()
        finally:
            logger.critical("nothing computes any more", exc_info=True)
            os._exit(1)  # whoever waits learns it at once, and we are started again

    def _drain(self) -> None:
        with self.changed:
            self.changed.wait_for(lambda: self.images == 0, timeout=DRAIN_SECONDS)

    def _answer(self, connection: socket.socket) -> None:
        with connection, suppress(OSError):  # they hung up, or are strangers: nobody is there to be told
            connection.settimeout(CONNECT_SECONDS)
            channel, question = protocol.listen(connection, key=self.key)
            if question["ask"] == "status":
                channel.send(self._status())
            else:
                self._take_in(channel, question)

    def _status(self) -> Message:
        with self.changed:
            waiting = {"waiting": self.images, "waiting_bytes": self.bytes}
        return {"pid": os.getpid(), **waiting, "models": self.models.describe(), **self.metrics.snapshot()}

    def _take_in(self, channel: Channel, question: Message) -> None:
        begun = time.monotonic()
        images, size = len(question["sizes"]), sum(question["sizes"])
        with self.changed:
            fits = self.images + images <= self.limits.waiting
            fits = fits and self.bytes + size <= self.limits.waiting_bytes
            if self.images and not fits:
                self.metrics.count("refused")
                channel.send({"busy": True})
                return
            self.images, self.bytes = self.images + images, self.bytes + size
        try:
            channel.send({"go": True})
            channel.socket.settimeout(SENDING_SECONDS)
            files = [channel.receive_bytes(length) for length in question["sizes"]]
            answer = self._work(channel, question, files)
        finally:
            with self.changed:
                self.images, self.bytes = self.images - images, self.bytes - size
                self.changed.notify_all()
        if answer is not None:
            channel.send(answer)
            self.metrics.count("requests")
            self.metrics.count_latency(time.monotonic() - begun)

    def _work(self, channel: Channel, question: Message, files: Sequence[bytes]) -> Message | None:
        """The answer; None when nobody wants one any more."""
        deadline = time.monotonic() + question["seconds"]
        try:
            scorer = self.models.get(question["location"])
            prepared = list(self.decoders.map(lambda file: self._prepare(scorer, file), files))
        except ValueError as error:  # CheckpointError, whose module brings torch
            return {"broken": str(error)}
        except (OSError, ImportError, RuntimeError, MemoryError) as error:  # no torch, no memory, no disk
            logger.exception("no answer for %s", question["location"])
            return {"failed": f"the scorer cannot work ({type(error).__name__}: {error})"}
        unreadable = {i: str(one) for i, one in enumerate(prepared) if isinstance(one, Unreadable)}
        if unreadable:
            return {"unreadable": unreadable}

        def is_wanted() -> bool:
            return time.monotonic() < deadline and not protocol.is_closed(channel.socket)

        pixels = [one for one in prepared if not isinstance(one, Unreadable)]
        request = Request(scorer, question["prompts"], pixels, is_wanted)
        self.batches.put(request)
        request.done.wait()
        reference = scorer.config.reference
        if request.answer is None or "scores" not in request.answer or reference is None:
            return request.answer
        return {**request.answer, "reference": asdict(reference)}

    def _prepare(self, scorer: Scorer, file: bytes) -> Tensor | Unreadable:
        try:
            return prepare(scorer, file, most_pixels=self.limits.pixels)
        except Unreadable as error:
            return error


def prepare(scorer: Scorer, file: bytes, *, most_pixels: int) -> Tensor:
    """(3, H, W) uint8: what the model sees of a file; its size is checked before it is decoded.

    Raises: Unreadable.
    """
    try:
        with Image.open(BytesIO(without_unseen(file)), formats=FORMATS) as image:
            if image.width * image.height > most_pixels:
                raise Unreadable(f"{image.width} x {image.height} pixels are more than {most_pixels:,}")
            return scorer.pixels(image)
    except UnidentifiedImageError:
        raise Unreadable("is no PNG, JPEG or WebP image") from None
    except Image.DecompressionBombError:
        raise Unreadable(f"has more than {most_pixels:,} pixels") from None
    except Unreadable:
        raise
    except (OSError, SyntaxError, ValueError) as error:  # UnreadableImage is a ValueError
        raise Unreadable(f"is broken ({error})") from None


def _listener(address: Address) -> socket.socket:
    """Raises: AlreadyServed."""
    if not isinstance(address, str):
        return socket.create_server(address, backlog=256)
    path = Path(address)
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with path.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # of two that start at once, the second finds the first
        try:
            protocol.connect(address, seconds=CONNECT_SECONDS).close()
        except OSError:
            pass  # nobody, or what a killed one left
        else:
            raise AlreadyServed(f"another scorer listens at {address}")
        path.unlink(missing_ok=True)
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(address)
        path.chmod(0o600)
        listener.listen(256)
        return listener

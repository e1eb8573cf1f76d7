"""What a worker tells of itself on a port of its own: tasks, memory, and its host's cache, disk and GPUs.

Tasks are done by processes of a pool, or by the worker's own. Each says to the worker what it has done, in a
datagram over a pair of sockets from before the fork: the worker counts, and is all that is asked.
"""

from __future__ import annotations

import json
import logging
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import suppress

import psutil
from celery import Task, signals
from celery.exceptions import WorkerLostError
from django.conf import settings
from prometheus_client import CollectorRegistry, Histogram, Metric, start_http_server
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily
from prometheus_client.registry import Collector

from annotation.local_images import read_uses
from config.metrics.folders import read_folders

logger = logging.getLogger(__name__)
SECONDS = (0.1, 1.0, 10.0, 60.0, 600.0, 3600.0, 6 * 3600.0, 24 * 3600.0)
GPU_SECONDS = 5.0  # how long the driver may take to answer
LOST = "lost"  # with its process, as where memory ran out
MiB = 2**20


class Worker(Collector):
    """The main process of a worker."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.task_seconds = Histogram(
            "laurel_task_seconds",
            "Seconds of tasks, by name and how they ended",
            ["task", "outcome"],
            buckets=SECONDS,
            registry=self.registry,
        )
        self.registry.register(self)
        self._heard, self._said = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._said.setblocking(False)
        self._begun: dict[str, float] = {}

    def follow(self) -> None:
        """Hear of tasks from now on, in this process and those that it forks."""
        signals.task_prerun.connect(self._begin, weak=False)
        signals.task_postrun.connect(self._end, weak=False)
        signals.task_failure.connect(self._lose, weak=False)

    def serve(self, address: tuple[str, int]) -> None:
        """Answer at the address, unless something else does: a worker works without."""
        threading.Thread(target=self._count, name="tasks that ended", daemon=True).start()
        try:
            start_http_server(address[1], address[0], self.registry)
        except OSError as error:
            logger.warning("WORKER_METRICS: nobody can listen at %s:%d: %s", *address, error)

    def collect(self) -> Iterator[Metric]:
        yield InfoMetricFamily("laurel", "Which Laurel this is", {"version": settings.VERSION})
        yield from _read_memory()
        yield from read_folders(settings.VAR)
        hits, fetches = read_uses()
        yield CounterMetricFamily("laurel_image_cache_hits", "Stored files that were here", value=hits)
        yield CounterMetricFamily("laurel_image_cache_fetches", "Stored files fetched", value=fetches)
        yield from read_gpus()

    def _begin(self, task_id: str, **_: object) -> None:
        self._begun[task_id] = time.monotonic()

    def _end(self, task_id: str, task: Task[..., object], state: str | None = None, **_: object) -> None:
        seconds = time.monotonic() - self._begun.pop(task_id, time.monotonic())
        self._say(task.name, (state or LOST).lower(), seconds)

    def _lose(self, sender: Task[..., object], exception: BaseException, **_: object) -> None:
        if isinstance(exception, WorkerLostError):  # what other errors end, `_end` hears of
            self._say(sender.name, LOST, 0.0)

    def _say(self, *what: object) -> None:
        with suppress(BlockingIOError):  # rather uncounted than held up
            self._said.send(json.dumps(what).encode())

    def _count(self) -> None:
        while True:
            task, outcome, seconds = json.loads(self._heard.recv(4096))
            self.task_seconds.labels(task, outcome).observe(seconds)


def _read_memory() -> Iterator[Metric]:
    memory = GaugeMetricFamily(
        "laurel_worker_memory_bytes", "Resident memory, shared pages with each process", labels=["process"]
    )
    worker = psutil.Process()
    memory.add_metric(["worker"], worker.memory_info().rss)
    below = 0
    for process in worker.children(recursive=True):
        with suppress(psutil.Error):
            below += process.memory_info().rss
    memory.add_metric(["below"], below)
    yield memory


def read_gpus() -> Iterator[Metric]:
    """Ask the driver for the memory of each GPU; nothing where there is none, or it does not answer."""
    query = ["nvidia-smi", "--query-gpu=index,memory.used,memory.total", "--format=csv,noheader,nounits"]
    if shutil.which(query[0]) is None:
        return
    try:
        listed = subprocess.run(query, capture_output=True, text=True, timeout=GPU_SECONDS, check=True).stdout
    except (OSError, subprocess.SubprocessError) as error:
        logger.warning("nvidia-smi: %s", error)
        return
    used = GaugeMetricFamily("laurel_gpu_memory_used_bytes", "Memory in use, by all programs", labels=["gpu"])
    size = GaugeMetricFamily("laurel_gpu_memory_bytes", "Memory of the GPU", labels=["gpu"])
    for line in listed.splitlines():
        gpu, *amounts = (field.strip() for field in line.split(","))
        for family, amount in zip((used, size), amounts, strict=False):  # none where it says "No devices"
            if amount.isdecimal():  # else the driver does not know
                family.add_metric([gpu], int(amount) * MiB)
    yield used
    yield size


def tell_of_worker(address: tuple[str, int]) -> None:
    """Let the worker that starts in this process tell of itself. Args: address: host and port."""
    worker = Worker()
    worker.follow()
    signals.worker_ready.connect(lambda **_: worker.serve(address), weak=False)

"""What a worker tells of itself: a real one with a pool, asked over HTTP."""

import os
import re
import socket
import subprocess
import sys
import time
from urllib.error import URLError
from urllib.request import urlopen

import pytest
from celery import signals
from celery.exceptions import WorkerLostError

from annotation.local_images import USES, cached_name, local_images, read_uses
from annotation.tasks import tend_exports, write_export
from config.metrics.workers import Worker, read_gpus
from config.settings import listening_address
from tests.cast import *  # noqa: F403
from tests.config.test_metrics import documented_metrics, samples
from tests.workers import database_url

QUEUE = "a-pool-of-a-test"
OF_HOSTS = {"laurel_info", "laurel_disk_free_bytes", "laurel_disk_bytes", "laurel_folder_bytes"}


@pytest.fixture
def address(transactional_db):
    """Of the metrics of a worker with two processes."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{probe.getsockname()[1]}"
    options = ["--queues", QUEUE, "--concurrency", "2", "--without-gossip", "--without-mingle"]
    process = subprocess.Popen(
        [sys.executable, "-m", "celery", "--quiet", "-A", "config.celery", "worker", *options],
        env={**os.environ, "DATABASE_URL": database_url(), "WORKER_METRICS": address},
    )
    yield address
    process.terminate()
    process.wait(timeout=30)


def read(address):
    try:
        return samples(urlopen(f"http://{address}/metrics", timeout=10).read().decode())
    except URLError:
        return {}


def test_a_worker_tells_of_the_tasks_of_its_pool_and_of_its_memory(address):
    for _ in range(3):
        tend_exports.apply_async(queue=QUEUE)
    write_export.apply_async(("no number",), queue=QUEUE)
    counts = {
        ("laurel_task_seconds_count", (("outcome", outcome), ("task", task.name))): count
        for task, outcome, count in ((tend_exports, "success", 3), (write_export, "failure", 1))
    }
    deadline = time.monotonic() + 120
    while not counts.items() <= (values := read(address)).items():
        assert time.monotonic() < deadline, values
        time.sleep(0.1)
    memory = [values["laurel_worker_memory_bytes", (("process", name),)] for name in ("worker", "below")]
    assert all(value > 20e6 for value in memory)
    assert not [name for name, _ in values if name.startswith("laurel_gpu")]  # there is none
    told = {re.sub(r"_(bucket|count|sum)$", "", name) for name, _ in values}
    told = {name for name in told if not name.endswith("_created")}
    told |= {"laurel_gpu_memory_used_bytes", "laurel_gpu_memory_bytes", "laurel_folder_bytes"}
    assert told == documented_metrics("Metrics of workers") | OF_HOSTS


def test_a_task_that_is_lost_with_its_process_is_counted_where_the_pool_is():
    worker = Worker()
    worker.follow()
    signals.task_failure.send(sender=tend_exports, exception=WorkerLostError("killed"))
    signals.task_failure.send(sender=tend_exports, exception=ValueError())  # its end tells of this one
    worker.serve(("127.0.0.1", 0))
    lost = ("laurel_task_seconds_count", {"task": tend_exports.name, "outcome": "lost"})
    deadline = time.monotonic() + 10
    while (count := worker.registry.get_sample_value(*lost)) is None:
        assert time.monotonic() < deadline
    assert count == 1


def test_the_driver_tells_of_each_gpus_memory(monkeypatch, tmp_path):
    driver = tmp_path / "nvidia-smi"
    driver.write_text("#!/bin/sh\necho '0, 1024, 81559'\necho '1, [N/A], 81559'\necho 'No devices'\n")
    driver.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    told = {(sample.name, sample.labels["gpu"]): sample.value for m in read_gpus() for sample in m.samples}
    assert told == {
        ("laurel_gpu_memory_used_bytes", "0"): 2**30,
        ("laurel_gpu_memory_bytes", "0"): 81559 * 2**20,
        ("laurel_gpu_memory_bytes", "1"): 81559 * 2**20,
    }
    driver.write_text("#!/bin/sh\nexit 9\n")
    assert list(read_gpus()) == []


def test_files_that_were_in_the_cache_and_files_that_were_fetched_are_counted(remote, project, a_prompt):
    names = [generation.image.file.name for generation in a_prompt(images=3).generations.all()]
    hits, fetches = read_uses()
    for asked in (names[:2], names):
        with local_images(asked):
            pass
    assert read_uses() == (hits + 2, fetches + 3)


@pytest.mark.parametrize("content", [b"5", b"\0\0\0\0", b"\xff x", None])
def test_a_count_that_is_damaged_or_cannot_be_written_keeps_no_file_back(
    settings, remote, project, a_prompt, content
):
    name = a_prompt(images=1).generations.get().image.file.name
    counts = settings.IMAGE_CACHE_DIR / USES
    counts.parent.mkdir(parents=True, exist_ok=True)
    counts.mkdir() if content is None else counts.write_bytes(content)
    with local_images([name]) as folder:
        assert (folder / cached_name(name)).is_file()
    assert read_uses() == ((0, 0) if content is None else (0, 1))


def test_the_setting_is_an_address_or_nothing():
    assert listening_address("WORKER_METRICS", "") is None
    assert listening_address("WORKER_METRICS", "0.0.0.0:9101") == ("0.0.0.0", 9101)
    assert listening_address("WORKER_METRICS", "[::1]:9101") == ("::1", 9101)
    with pytest.raises(ValueError, match="WORKER_METRICS is HOST:PORT"):
        listening_address("WORKER_METRICS", "9101")

"""How large the folders of LAUREL_VAR are, and how much room is left: measured now and then, in a thread."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from prometheus_client import Metric
from prometheus_client.core import GaugeMetricFamily

EVERY_SECONDS = 600.0  # between two measurements, by all web processes of this host together
PAUSE_SECONDS = 0.002  # after each folder: pages go first


def read_folders(var: Path) -> Iterator[Metric]:
    """Return the room on the disk of `var`, and the size of what lies in each of its folders.

    Sizes are the newest that were measured, at most EVERY_SECONDS and the measurement itself ago; the first
    call, and any after that time, starts a measurement and does not wait for it.
    """
    usage = shutil.disk_usage(var)
    yield GaugeMetricFamily("laurel_disk_free_bytes", "Room on the disk of LAUREL_VAR", value=usage.free)
    yield GaugeMetricFamily("laurel_disk_bytes", "Size of that disk", value=usage.total)
    sizes = GaugeMetricFamily("laurel_folder_bytes", "Files below LAUREL_VAR, by folder", labels=["folder"])
    file = var / "sizes.json"
    measured, age = _read(file)
    for folder, size in measured.items():
        sizes.add_metric([folder], size)
    yield sizes
    if age > EVERY_SECONDS:
        threading.Thread(target=measure, args=(var, file), daemon=True).start()


def measure(var: Path, file: Path) -> None:
    """Write the bytes of each folder of `var` to the file, unless another process is at it."""
    with (var / "sizes.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return
        folders = [entry for entry in os.scandir(var) if entry.is_dir(follow_symlinks=False)]
        sizes = {entry.name: folder_bytes(Path(entry.path)) for entry in folders}
        unfinished = file.with_suffix(".new")
        unfinished.write_text(json.dumps(sizes), encoding="utf-8")
        unfinished.replace(file)


def folder_bytes(folder: Path) -> int:
    """Return the bytes of all files below the folder; what cannot be read, or goes meanwhile, is left out."""
    total, rest = 0, [str(folder)]
    while rest:
        with suppress(OSError), os.scandir(rest.pop()) as entries:
            for entry in entries:
                with suppress(OSError):
                    if entry.is_dir(follow_symlinks=False):
                        rest.append(entry.path)
                    elif entry.is_file(follow_symlinks=False):
                        total += entry.stat(follow_symlinks=False).st_size
        time.sleep(PAUSE_SECONDS)
    return total


def _read(file: Path) -> tuple[dict[str, int], float]:
    """Return the newest sizes and their age in seconds; none and infinity where there are none."""
    try:
        return json.loads(file.read_text(encoding="utf-8")), time.time() - file.stat().st_mtime
    except (OSError, ValueError):
        return {}, float("inf")

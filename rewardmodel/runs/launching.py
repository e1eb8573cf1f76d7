"""How a run's process is started: alone, or as several processes by torchrun."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys

from django.conf import settings

from annotation import request_ids
from rewardmodel.models import Run


def process_count(run: Run) -> int:
    """How many processes on this host share the run: as configured, else one for each GPU it may use."""
    if not run.can_be_shared:
        return 1
    return settings.TRAINING_PROCESSES or max(1, _count_gpus())


def command_line(run: Run, *, grace_seconds: float) -> list[str]:
    """What does the run's work: one process, or torchrun with several.

    Args: grace_seconds: what torchrun gives its processes to stop in, before it kills them.
    """
    command = [str(settings.ROOT / "manage.py"), run.command, "--run", str(run.pk)]
    command += ["--attempt", str(run.attempt), "--supervisor", str(os.getpid())]
    processes = process_count(run)
    torchrun_options = shlex.split(settings.TRAINING_TORCHRUN) if run.can_span_hosts else []
    if processes == 1 and not torchrun_options:
        return [sys.executable, *command]
    torchrun = [sys.executable, "-m", "torch.distributed.run", f"--nproc-per-node={processes}"]
    torchrun += [f"--shutdown-timeout={int(grace_seconds)}", *(torchrun_options or ["--standalone"])]
    return [*torchrun, "--", *command]  # else it would take --run for one of its own options


def environment(run: Run) -> dict[str, str]:
    """Return the environment of a run's process: this one's, and what it does not say.

    One core is left to the pages. Threads that wait by spinning take the time of those they wait for: with
    two of them on two busy cores a run took ten times as long. Progress bars of the libraries are for
    terminals; in a log they are noise.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    each = max(1, (cores - 1) // process_count(run))
    own = {
        "OMP_NUM_THREADS": str(each),
        "OMP_WAIT_POLICY": "PASSIVE",
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    }
    # Its log is a page's: lines for people, each with the request that the run is for.
    return own | os.environ | {"LOG_FORMAT": "line", request_ids.VARIABLE: run.request_id}


def _count_gpus() -> int:
    """How many GPUs this process may use; asked without torch, which a worker never loads."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        return len([device for device in visible.split(",") if device.strip()])
    try:
        listed = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, timeout=30, check=True)
    except (OSError, subprocess.SubprocessError):
        return 0
    return sum(line.startswith("GPU ") for line in listed.stdout.splitlines())

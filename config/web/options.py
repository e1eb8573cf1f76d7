"""gunicorn's options, for `--config python:config.web.options`. What the command line says goes before."""

from __future__ import annotations

import os
import shutil
import tempfile
from typing import Any

# Where each process writes what it counts, for `/metrics` to add up; prometheus_client looks for this name.
_COUNTED = "PROMETHEUS_MULTIPROC_DIR"
_folder = os.environ.get(_COUNTED) or tempfile.mkdtemp(prefix="laurel-metrics-")


def post_fork(server: Any, worker: Any) -> None:
    os.environ[_COUNTED] = _folder  # not in the first process: one that takes its place counts anew


def on_exit(server: Any) -> None:
    if _COUNTED not in os.environ:
        shutil.rmtree(_folder, ignore_errors=True)


worker_class = "config.web.worker.WaitressWorker"
workers = 2
# Of the threads of each worker SCORES_AT_ONCE may wait for scores: four remain for pages.
threads = 40
worker_connections = 4000  # of each worker; those that wait for their client need no thread
graceful_timeout = 8
control_socket_disable = True
logger_class = "config.web.log.Log"
accesslog = "-"

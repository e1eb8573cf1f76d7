"""The Celery application; workers and beat start from here."""

import logging
import os
from typing import Any

from celery import Celery, Task
from celery.app.log import TaskFormatter
from celery.signals import (
    after_setup_logger,
    after_setup_task_logger,
    before_task_publish,
    task_postrun,
    task_prerun,
    worker_init,
    worker_process_init,
)
from django.conf import settings

from annotation import request_ids
from config import broker
from config.lines import JSONFormatter, LineFormatter, formatter
from config.reporting import trace

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")

broker.use_for_redis()
app = Celery("laurel")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()


@after_setup_logger.connect
@after_setup_task_logger.connect
def _write_lines(logger: logging.Logger, format: str, **_: object) -> None:
    """Let workers write their logs as all others do: what somebody named is in them too."""
    for handler in logger.handlers:
        is_json = isinstance(formatter(), JSONFormatter)
        handler.setFormatter(formatter() if is_json else _TaskLines(format, use_color=False))


@before_task_publish.connect
def _send_request_id(headers: dict[str, Any], **_: object) -> None:
    """Let the task's logs name the request that asked for it."""
    if request_id := request_ids.current():
        headers["request_id"] = request_id


@worker_init.connect
def _serve_metrics(**_: object) -> None:
    """Before the pool is there. The library is loaded where it is wanted."""
    if settings.WORKER_METRICS:
        from config.metrics.workers import tell_of_worker

        tell_of_worker(settings.WORKER_METRICS)


@worker_process_init.connect
def _trace_tasks(**_: object) -> None:
    """In each process of a worker, since threads that send what was traced do not outlive a fork."""
    trace()


@task_prerun.connect
def _take_request_id(task_id: str, task: Task[..., object], **_: object) -> None:
    """Work for the request that asked for this task; what beat starts is known by its own id."""
    request_ids.set_current(task.request.get("request_id") or task_id)


@task_postrun.connect
def _leave_request_id(**_: object) -> None:
    request_ids.set_current("")


class _TaskLines(LineFormatter, TaskFormatter):
    """Celery's, which knows the task, in lines."""

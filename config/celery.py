"""The Celery application; workers and beat start from here."""

import logging
import os

from celery import Celery
from celery.app.log import TaskFormatter
from celery.signals import after_setup_logger, after_setup_task_logger

from config import broker
from config.lines import LineFormatter

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
        handler.setFormatter(_TaskLines(format, use_color=False))


class _TaskLines(LineFormatter, TaskFormatter):
    """Celery's, which knows the task, in lines."""

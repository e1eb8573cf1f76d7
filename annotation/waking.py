"""Messages that wake a worker. They may be late or lost: rows say what waits, and the schedule sees it."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from celery import current_app
from django.contrib import messages
from django.http import HttpRequest
from kombu.exceptions import OperationalError

logger = logging.getLogger(__name__)
LATE = (
    "Stored, and it starts by itself: the broker does not answer now, so no worker could be told. "
    "There is no need to send it again."
)


def send(task: str, args: Sequence[object], *, expires: float | None = None) -> bool:
    """Send a message; return whether the broker has it, which is known within BROKER_SECONDS.

    Args: expires: seconds after which no worker takes it any more.
    """
    try:
        current_app.send_task(task, args, expires=expires)
    except OperationalError as error:
        logger.warning("%s%r waits: the broker does not answer: %s", task, tuple(args), error)
        return False
    return True


def say_if_late(request: HttpRequest, sent: bool) -> None:
    """Tell whoever asked for work that no worker could be told of it."""
    if not sent:
        messages.warning(request, LATE)

"""Lines of logs: what a request contains writes none of its own, and opens no door to who reads them."""

from __future__ import annotations

import json
import logging
import os
import re
from datetime import UTC, datetime
from typing import Any, Literal

from celery import current_task

from annotation import request_ids

# C0 and C1 but for tabs, and what else ends a line: terminals obey them, programs that read logs split there.
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f-\x9f\u2028\u2029]")
# Links that let in whoever has them: an invitation, the page of a study, a new password.
# Also of a mistyped address, which leads to no page: the key in it is still valid.
_KEY = re.compile(r"(/(?:join|studies|reset|address)/[/\s]*)([^/\s?#\"'<>]{16,})", re.IGNORECASE)
# What every record has, whatever is logged: other attributes came with `extra`.
_USUAL = {*vars(logging.makeLogRecord({})), "message", "asctime", "request_id", "data", "color_message"}


def without_keys(text: str) -> str:
    """Return the text with the secret part of links left out."""
    return _KEY.sub(r"\1***", text)


def one_line(text: str) -> str:
    """Return the text with its control characters escaped and the secret part of links left out."""
    return without_keys(_CONTROL.sub(lambda match: ascii(match[0])[1:-1], text))


def request_of(record: logging.LogRecord) -> str:
    """Return the id of the request that a record is about, empty where there is none.

    Django names a request in `request` when it logs what came of it, after the last middleware has left it.
    """
    meta = getattr(getattr(record, "request", None), "META", {})
    return str(getattr(record, "request_id", "") or meta.get(request_ids.META, "") or request_ids.current())


class RefusalFilter(logging.Filter):
    """Lets a refused request be one line: a traceback tells of a fault of ours, and a 4xx is none."""

    def filter(self, record: logging.LogRecord) -> bool:
        if record.exc_info and getattr(record, "status_code", 500) < 500:
            message, reason = record.getMessage(), str(record.exc_info[1])
            record.msg, record.args = message if reason in message else f"{message}: {reason}", ()
            record.exc_info = None
        return True


class LineFormatter(logging.Formatter):
    """A record is one line; what follows of a traceback is indented, so that it looks like no record."""

    def format(self, record: logging.LogRecord) -> str:
        first, *rest = super().format(record).split("\n")
        return "\n".join([one_line(first), *(f"  {one_line(line)}" for line in rest)])

    def formatMessage(self, record: logging.LogRecord) -> str:
        request = request_of(record)
        record.message = one_line(record.message) + (f" [request {request}]" if request else "")
        return super().formatMessage(record)


class JSONFormatter(logging.Formatter):
    """A record is one line of JSON, for programs that collect logs.

    Fields: `time` (ISO 8601, UTC), `level`, `logger`, `message`; where there is one, `request_id`, `task` and
    `task_id` of the Celery task at hand, `exception` (its traceback), and what else a record brings.
    """

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": without_keys(record.getMessage()),
        }
        if request := request_of(record):
            line["request_id"] = request
        if current_task:
            line |= {"task": current_task.name, "task_id": current_task.request.id}
        if record.exc_info:
            line["exception"] = without_keys(self.formatException(record.exc_info))
        brought = {name: value for name, value in vars(record).items() if name not in _USUAL}
        line |= {name: value for name, value in brought.items() if isinstance(value, str | int | float)}
        return json.dumps(line)


def formatter(format: str | None = None, *, style: Literal["%", "{"] = "%") -> logging.Formatter:
    """Return what LOG_FORMAT asks for; `format` is that of lines."""
    if os.environ.get("LOG_FORMAT") == "json":
        return JSONFormatter()
    return LineFormatter(format, style=style)

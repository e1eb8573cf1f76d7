"""Lines of logs: what a request contains writes none of its own, and opens no door to who reads them."""

from __future__ import annotations

import logging
import re

# C0 and C1 but for tabs, and what else ends a line: terminals obey them, programs that read logs split there.
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f-\x9f\u2028\u2029]")
# Links that let in whoever has them: an invitation, the page of a study, a new password.
_KEY = re.compile(r"(/(?:join|studies|reset|address)/)([^/\s?#\"'<>]{16,})")


def one_line(text: str) -> str:
    """Return the text with its control characters escaped and the secret part of links left out."""
    return _KEY.sub(r"\1***", _CONTROL.sub(lambda match: ascii(match[0])[1:-1], text))


class LineFormatter(logging.Formatter):
    """A record is one line; what follows of a traceback is indented, so that it looks like no record."""

    def format(self, record: logging.LogRecord) -> str:
        first, *rest = super().format(record).split("\n")
        return "\n".join([one_line(first), *(f"  {one_line(line)}" for line in rest)])

    def formatMessage(self, record: logging.LogRecord) -> str:
        record.message = one_line(record.message)
        return super().formatMessage(record)

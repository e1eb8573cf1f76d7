"""A client's connection to waitress: how long a body it may send, its lines in the log, and its end."""

from __future__ import annotations

import copy
import logging
import socket
import time
from concurrent.futures import Future, ThreadPoolExecutor
from io import BytesIO
from typing import Any

from django.db import DatabaseError
from waitress.channel import HTTPChannel
from waitress.parser import HTTPRequestParser
from waitress.task import ErrorTask, Task, WSGITask
from waitress.utilities import Error

from config.web.bodies import admits, longest_body, usual_length

ADMISSION_SECONDS = 1.0  # so long the loop waits for the database that knows whose request it is
MOST_DISCARDED = 64 * 1024 * 1024  # bytes of a refused body that are read, so that its sender sees why

# The loop itself must not wait for a database that hangs: everybody would wait with it.
_doorkeeper = ThreadPoolExecutor(1)
logger = logging.getLogger(__name__)
access_log = logging.getLogger("gunicorn.access")


class Stranger(Error):  # type: ignore[misc]
    code = 401
    reason = "Unauthorized"


class Unavailable(Error):  # type: ignore[misc]
    code = 503
    reason = "Service Unavailable"


class Parser(HTTPRequestParser):  # type: ignore[misc]
    """A request, whose body has a limit of its own: it is refused by its length, or where it gets longer."""

    admission: Future[bool] | None = None  # of all parsers: the newest question who sends a long body
    adj: Any  # waitress's settings; `received` asks them for the limit

    def parse_header(self, header_plus: bytes) -> None:
        super().parse_header(header_plus)
        longest = usual_length()
        if self.content_length > longest or self.chunked:
            longest = longest_body(self.path.encode("latin-1").decode(errors="replace"))
        if longest > usual_length():
            self.error = self._refusal()
            self.completed = self.error is not None
        if self.error or self.content_length > longest:
            self.expect_continue = False
        self.adj = copy.copy(self.adj)
        self.adj.max_request_body_size = longest + 1

    def _refusal(self) -> Error | None:
        """Return why a long body is not read, None where its sender is known."""
        not_now = Unavailable("Not now: send it again in a minute.")
        if Parser.admission is not None and not Parser.admission.done():
            return not_now
        Parser.admission = _doorkeeper.submit(admits, self._environ())
        try:
            known = Parser.admission.result(timeout=ADMISSION_SECONDS)
        except (DatabaseError, TimeoutError) as error:
            logger.error("Nobody knows who sends %s: %r", self.path, error)
            return not_now
        return None if known else Stranger("Sign in, then send it again.")

    def _environ(self) -> dict[str, Any]:
        headers = {f"HTTP_{name}": value for name, value in self.headers.items()}
        return {**headers, "REQUEST_METHOD": self.command, "PATH_INFO": self.path, "wsgi.input": BytesIO()}


class _Logged(Task):  # type: ignore[misc]
    def finish(self) -> None:
        super().finish()
        # The bytes of a path are no text yet (PEP 3333): log what they were sent as.
        path = self.request.path.encode("latin-1", "replace").decode("utf-8", "replace")
        status, milliseconds = self.status[:3], round(1000 * (time.time() - self.start_time))
        line = "%s %s %s %s bytes %s ms"
        access_log.info(line, self.request.command, path, status, self.content_bytes_written, milliseconds)


class _Response(_Logged, WSGITask):  # type: ignore[misc]
    pass


class _Refusal(_Logged, ErrorTask):  # type: ignore[misc]
    def execute(self) -> None:
        self.channel.lingers = True
        super().execute()


class Channel(HTTPChannel):  # type: ignore[misc]
    """A connection. A refused client may still be sending: closing at once would cut off the answer."""

    parser_class = Parser
    task_class = _Response
    error_task_class = _Refusal

    lingers = False
    discarded: int | None = None  # bytes, since the answer was sent

    def close_unless_read(self, *, since: float) -> None:
        """Give up on a client that has read nothing since then; waitress does between requests only.

        A thread may wait for it in the middle of a stream. While a thread holds the lock it is sending.
        """
        if self.outbuf_lock.acquire(blocking=False):
            try:
                self.will_close |= bool(self.total_outbufs_len) and self.last_activity < since
            finally:
                self.outbuf_lock.release()

    def received(self, data: bytes) -> bool:
        if self.discarded is None:
            return bool(super().received(data))
        self.discarded += len(data)
        self.will_close = self.discarded > MOST_DISCARDED
        return False

    def handle_close(self) -> None:
        """Source: RFC 9112, section 9.6."""
        if self.lingers and self.discarded is None and self.connected:
            self.will_close, self.discarded = False, 0
            try:
                self.socket.shutdown(socket.SHUT_WR)
            except OSError:
                super().handle_close()
        else:
            super().handle_close()

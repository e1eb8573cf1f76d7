"""A client's connection to waitress: how long a body it may send, its lines in the log, and its end."""

from __future__ import annotations

import copy
import logging
import socket
import time
from concurrent.futures import Future
from io import BytesIO
from typing import Any

from django.db import Error as DatabaseError
from waitress.channel import HTTPChannel
from waitress.parser import HTTPRequestParser
from waitress.task import ErrorTask, Task, ThreadedTaskDispatcher, WSGITask
from waitress.utilities import Error

from config.lines import without_keys
from config.metrics.requests import HEADER, refused_requests
from config.web.bodies import admits, longest_body, usual_length

SIGN_IN = "Sign in in another tab, go back here, where the form is as you left it, and send it once more."
ADMISSION_SECONDS = 3.0  # so long the loop waits for the database that knows whose request it is
MOST_DISCARDED = 64 * 1024 * 1024  # bytes of a refused body that are read, so that its sender sees why

HEAD_SECONDS = 20  # for a whole head
LEAST_RATE = 500  # bytes a second of a body, after the first HEAD_SECONDS

# The loop itself must not wait for a database that hangs: everybody would wait with it.
_admissions = ThreadedTaskDispatcher()
_admissions.set_thread_count(1)
logger = logging.getLogger(__name__)
access_log = logging.getLogger("gunicorn.access")


class Stranger(Error):  # type: ignore[misc]
    code = 401
    reason = "Unauthorized"


class Unavailable(Error):  # type: ignore[misc]
    code = 503
    reason = "Service Unavailable"


class _Admission(Future[bool]):
    """Whether the sender of a long body is known."""

    def __init__(self, environ: dict[str, Any]) -> None:
        super().__init__()
        self.environ = environ

    def service(self) -> None:
        try:
            self.set_result(admits(self.environ))
        except Exception as error:
            self.set_exception(error)


class Parser(HTTPRequestParser):  # type: ignore[misc]
    """A request, whose body has a limit of its own: it is refused by its length, or where it gets longer."""

    admission: Future[bool] | None = None  # of all parsers: the newest question who sends a long body
    adj: Any  # waitress's settings; `received` asks them for the limit

    def __init__(self, adj: Any) -> None:
        super().__init__(adj)
        self.begun = time.monotonic()

    @property
    def is_overdue(self) -> bool:
        """Whether its client sends a byte now and then, to hold the connection."""
        seconds = time.monotonic() - self.begun - HEAD_SECONDS
        least = LEAST_RATE * seconds if self.headers_finished else 0
        return seconds > 0 and self.body_bytes_received <= least

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
        Parser.admission = admission = _Admission(self._environ())
        _admissions.add_task(admission)
        try:
            known = admission.result(timeout=ADMISSION_SECONDS)
        except (DatabaseError, TimeoutError) as error:
            logger.error("Nobody knows who sends %s: %r", self.path, error)
            return not_now
        return None if known else Stranger(SIGN_IN)

    def _environ(self) -> dict[str, Any]:
        headers = {f"HTTP_{name}": value for name, value in self.headers.items()}
        return {**headers, "REQUEST_METHOD": self.command, "PATH_INFO": self.path, "wsgi.input": BytesIO()}


class _Rest:
    """What a client sends after a request that was refused: nobody looks at it, and the connection ends."""

    completed = expect_continue = headers_finished = is_overdue = False

    def received(self, data: bytes) -> int:
        return len(data)


class _Logged(Task):  # type: ignore[misc]
    def service(self) -> None:
        try:
            super().service()
        finally:
            # The bytes of a path are no text yet (PEP 3333): log what they were sent as.
            path = self.request.path.encode("latin-1", "replace").decode("utf-8", "replace")
            size = self.content_bytes_written or self.content_length or 0  # of a file it is the latter
            milliseconds = round(1000 * (time.time() - self.start_time))
            facts = {
                "method": self.request.command,
                "path": without_keys(path),
                "status": self.status[:3],
                "bytes": size,
                "milliseconds": milliseconds,
            }
            line = "%s %s %s %s bytes %s ms"
            headers = {name.lower(): value for name, value in self.response_headers}
            extra = {**facts, "request_id": headers.get(HEADER.lower(), "")}
            access_log.info(line, *facts.values(), extra=extra)


class _Response(_Logged, WSGITask):  # type: ignore[misc]
    pass


class _Refusal(_Logged, ErrorTask):  # type: ignore[misc]
    def execute(self) -> None:
        refused_requests.labels(str(self.request.error.code)).inc()
        self.channel.lingers = True
        super().execute()


class Channel(HTTPChannel):  # type: ignore[misc]
    """A connection. A refused client may still be sending: closing at once would cut off the answer."""

    request: Parser | _Rest | None  # that is not complete
    task_class = _Response
    error_task_class = _Refusal

    lingers = False
    discarded: int | None = None  # bytes, since the answer was sent

    def parser_class(self, adj: Any) -> Parser | _Rest:
        return _Rest() if self.requests and self.requests[-1].error else Parser(adj)

    @property
    def merit(self) -> tuple[int, float]:
        """Where there is no room for all, connections of the least go."""
        is_sending = bool(self.total_outbufs_len)
        is_sent_body = self.request is not None and self.request.headers_finished
        return 2 if is_sending else 1 if is_sent_body else 0, self.last_activity

    def close_if_stuck(self, *, since: float) -> None:
        """Give up on a client that holds up a request, or that has read nothing since then.

        waitress does the latter between requests only: a thread may wait for it in the middle of a stream.
        While a thread holds the lock it is sending.
        """
        if self.request is not None and not self.requests and self.request.is_overdue:
            self.will_close = True
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

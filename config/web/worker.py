"""A gunicorn worker in which a client that sends or reads slowly holds up nobody.

gunicorn's own threads read a request and send its response: as many connections as there are threads, each
with half a request, stop a server for good. Here one loop reads requests whole and sends responses, for all
connections at once; a thread gets a complete request and is free when its response is made.
"""

from __future__ import annotations

import errno
import json
import math
import resource
import socket
import time
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from datetime import timedelta
from functools import partial
from http import HTTPStatus
from selectors import EVENT_READ, EVENT_WRITE
from typing import Any
from urllib.parse import unquote

from gunicorn.config import Config
from gunicorn.http.body import ChunkedReader
from gunicorn.http.errors import NoMoreData, ParseException
from gunicorn.http.message import Request
from gunicorn.http.unreader import IterUnreader
from gunicorn.http.wsgi import Response, create, default_environ
from gunicorn.util import unquote_to_wsgi_str
from gunicorn.workers.gthread import ThreadWorker

from config.web.connections import Connection, Phase
from config.web.output import SILENCE_SECONDS

HEAD_BYTES = 64 * 1024
HEAD_SECONDS = 10.0  # for the whole head, from its first byte
BODY_SILENCE_SECONDS = 20.0
CLOSING_SECONDS = 3.0
STOPPING_SECONDS = 1.0  # for a request that a client with an open connection may just be sending
FILES_PER_CONNECTION = 3  # its socket, a body on disk, a file being sent
ACCEPTED_AT_ONCE = 64
LOOK_SECONDS = 0.5  # between two looks for connections whose time is over


class BufferingWorker(ThreadWorker):  # type: ignore[misc]
    """gthread, but for who reads and sends. TLS, HTTP/2 and the PROXY protocol end in a proxy in front."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.worker_connections: int
        self.connections: set[Connection] = set()
        self._next_look = 0.0

    @classmethod
    def check_config(cls, cfg: Config, log: Any) -> None:
        if cfg.is_ssl or cfg.proxy_protocol != "off" or cfg.protocol != "http":
            raise ValueError("Laurel speaks plain HTTP: let a proxy in front end TLS and other protocols")

    def init_process(self) -> None:
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        files = hard if hard != resource.RLIM_INFINITY else 65536
        if soft < files:
            resource.setrlimit(resource.RLIMIT_NOFILE, (files, hard))
        self.worker_connections = min(self.worker_connections, max(files, soft) // FILES_PER_CONNECTION)
        super().init_process()

    def run(self) -> None:
        from config.web import bodies  # it needs Django, which `config.wsgi` has set up by now

        self.bodies = bodies
        self.poller.register(self.method_queue.fileno(), EVENT_READ, self.method_queue.run_callbacks)
        self.set_accept_enabled(True)
        while self.alive and self.is_parent_alive():
            self._turn(1.0)
        self.set_accept_enabled(False)
        self._stop()

    def _turn(self, seconds: float) -> None:
        self.notify()
        self.wait_for_and_dispatch_events(seconds)
        now = time.monotonic()
        if now >= self._next_look:
            self._next_look = now + LOOK_SECONDS
            for connection in [one for one in self.connections if one.deadline < now]:
                self._end_overdue(connection)

    def _stop(self) -> None:
        """Answer what has come, for `graceful_timeout` at most; each connection closes after its response."""
        begun = time.monotonic()
        for connection in self.connections:
            if connection.phase == Phase.HEAD:
                connection.deadline = min(connection.deadline, begun + STOPPING_SECONDS)
        while self.connections and time.monotonic() < begun + self.cfg.graceful_timeout:
            self._turn(0.1)
        for connection in list(self.connections):
            self._close(connection)
        self.tpool.shutdown(wait=False)
        self.poller.close()
        self.method_queue.close()
        for listener in self.sockets:
            listener.close()

    # Connections: from the first to the last.

    def accept(self, listener: socket.socket) -> None:
        for _ in range(ACCEPTED_AT_ONCE):
            try:
                client, address = listener.accept()
            except OSError as error:
                if error.errno in (errno.EMFILE, errno.ENFILE):
                    self._make_room()
                elif error.errno not in (errno.EAGAIN, errno.ECONNABORTED):
                    raise
                return
            client.setblocking(False)
            connection = Connection(client, address, listener.getsockname(), self._ask_to_send)
            self.connections.add(connection)
            self._go_on(connection, lambda it: self._await_head(it, HEAD_SECONDS))
            if len(self.connections) > self.worker_connections:
                self._make_room()

    def _make_room(self) -> None:
        """Close the connection that has waited longest for its client."""
        waiting = [one for one in self.connections if one.phase != Phase.IN_THREAD]
        if waiting:
            self._close(min(waiting, key=lambda one: (one.phase, one.since)))

    def _end_overdue(self, connection: Connection) -> None:
        match connection.phase:
            case Phase.IN_THREAD:
                pass
            case Phase.BODY:
                self._refuse(connection, HTTPStatus.REQUEST_TIMEOUT, "The rest of the request did not come.")
            case _:
                self._close(connection)

    def _go_on(self, connection: Connection, step: Callable[[Connection], None]) -> None:
        """Take a step of a connection that has not been closed since. A fault ends it, and not the loop."""
        if connection in self.connections:
            try:
                step(connection)
            except Exception:
                self.log.exception("A connection broke")
                self._close(connection)

    def _close(self, connection: Connection) -> None:
        self._ignore(connection)
        self.connections.discard(connection)
        connection.close()

    def _watch(self, connection: Connection, event: int, callback: Callable[[Connection], None]) -> None:
        change = self.poller.modify if connection.is_watched else self.poller.register
        change(connection.socket, event, lambda _: self._go_on(connection, callback))
        connection.is_watched = True

    def _ignore(self, connection: Connection) -> None:
        if connection.is_watched:
            self.poller.unregister(connection.socket)
            connection.is_watched = False

    # A request, from its first byte to a thread.

    def _await_head(self, connection: Connection, seconds: float) -> None:
        connection.enter(Phase.HEAD, seconds)
        if connection.input:
            self._advance(connection)
        else:
            self._on_readable(connection)  # most clients have sent all by now

    def _on_readable(self, connection: Connection) -> None:
        try:
            is_open = connection.receive()
        except OSError:
            is_open = False
        if not is_open:
            self._close(connection)
        elif connection.phase == Phase.CLOSING:
            connection.input.clear()
        else:
            self._advance(connection)

    def _advance(self, connection: Connection) -> None:
        """Go on with what has been received."""
        if connection.phase == Phase.HEAD:
            self._take_head(connection)
        if connection.phase == Phase.BODY:
            self._take_body(connection)
        if connection.phase in (Phase.HEAD, Phase.BODY) and not connection.is_watched:
            self._watch(connection, EVENT_READ, self._on_readable)

    def _take_head(self, connection: Connection) -> None:
        head = connection.take_head()
        if head is not None:
            self._read_head(connection, head)
        elif len(connection.input) > HEAD_BYTES:
            self._refuse(connection, HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, "The head is too long.")
        elif connection.input and connection.is_idle:
            connection.is_idle = False
            connection.enter(Phase.HEAD, HEAD_SECONDS)

    def _read_head(self, connection: Connection, head: bytes) -> None:
        connection.requests += 1
        try:
            request = Request(self.cfg, IterUnreader([head]), connection.client, connection.requests)
        except (ParseException, NoMoreData) as error:
            self.handle_error(None, connection.sock, connection.client, error)
            self._finish(connection, keep=False)
            return
        connection.request = request
        connection.expects_continue = request._expected_100_continue
        request._expected_100_continue = False  # said here, once the body is wanted
        reader = request.body.reader
        if isinstance(reader, ChunkedReader):
            self._refuse(connection, HTTPStatus.LENGTH_REQUIRED, "Send the body with its Content-Length.")
            return
        connection.length = reader.length
        if reader.length <= self.bodies.usual_length():
            self._await_body(connection)
            return
        longest = self.bodies.longest_body(unquote(request.path))
        if reader.length > longest:
            message = f"The body has {reader.length:,} bytes; here it may have {longest:,}."
            self._refuse(connection, HTTPStatus.REQUEST_ENTITY_TOO_LARGE, message)
            return
        self._ignore(connection)
        connection.enter(Phase.IN_THREAD, math.inf)
        future = self.tpool.submit(self._knows_sender, connection)
        admit = partial(self._admit, future=future)
        future.add_done_callback(lambda _: self.method_queue.defer(self._go_on, connection, admit))

    def _knows_sender(self, connection: Connection) -> bool:
        _, environ = create(
            connection.request, connection.sock, connection.client, connection.server, self.cfg
        )
        return self.bodies.admits(environ)

    def _admit(self, connection: Connection, future: Future[bool]) -> None:
        """Go on with a long request if its sender is known."""
        if (error := future.exception()) is not None:
            self.log.error("Nobody knows who sends %s: %r", connection.request.path, error)
            self._refuse(connection, HTTPStatus.SERVICE_UNAVAILABLE, "Not now: send it again in a minute.")
        elif not future.result():
            self._refuse(connection, HTTPStatus.UNAUTHORIZED, "Sign in, then send it again.")
        else:
            self._await_body(connection)
            self._advance(connection)

    def _await_body(self, connection: Connection) -> None:
        if connection.expects_continue:
            connection.sock.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
        connection.expect_body()
        connection.enter(Phase.BODY, BODY_SILENCE_SECONDS)

    def _take_body(self, connection: Connection) -> None:
        connection.deadline = time.monotonic() + BODY_SILENCE_SECONDS
        try:
            is_complete = connection.take_body()
        except OSError as error:
            self.log.error("No room for a request of %s bytes: %s", connection.length, error)
            self._refuse(connection, HTTPStatus.INSUFFICIENT_STORAGE, "The server has no room for it.")
            return
        if is_complete:
            self._ignore(connection)
            connection.body.seek(0)
            connection.request.body = connection.body
            connection.enter(Phase.IN_THREAD, math.inf)
            self.enqueue_req(connection)

    def _refuse(self, connection: Connection, status: HTTPStatus, message: str) -> None:
        """Answer without a thread, and close."""
        request = connection.request
        is_api = request is not None and request.path.startswith("/api/")
        body = (json.dumps({"detail": message}) if is_api else message).encode() + b"\n"
        head = (
            f"HTTP/1.1 {status.value} {status.phrase}",
            "Connection: close",
            f"Content-Type: {'application/json' if is_api else 'text/plain; charset=utf-8'}",
            f"Content-Length: {len(body)}",
        )
        if request is not None:
            response = Response(request, connection.sock, self.cfg)
            response.status, response.sent = f"{status.value} {status.phrase}", len(body)
            environ = default_environ(request, connection.sock, self.cfg)
            environ["PATH_INFO"] = unquote_to_wsgi_str(request.path)
            self.log.access(response, request, environ, timedelta(0))
        with suppress(OSError):
            connection.sock.sendall("\r\n".join((*head, "", "")).encode() + body)
        self._finish(connection, keep=False)

    # A response, from its thread to its last byte.

    def handle(self, connection: Connection) -> bool:
        """Make the response, in a thread. Returns whether the connection stays open."""
        try:
            return bool(self.handle_request(connection.request, connection))
        except StopIteration:
            pass  # it failed half-way, and gunicorn has logged why
        except OSError as error:
            if not isinstance(error, (BrokenPipeError, ConnectionError, TimeoutError)):
                self.log.exception("Error while a response was sent")
        except Exception as error:
            self.handle_error(connection.request, connection.sock, connection.client, error)
        return False

    def finish_request(self, connection: Connection, future: Future[bool]) -> None:
        keep = future.exception() is None and future.result()
        self._go_on(connection, lambda it: self._finish(it, keep=keep))

    def _finish(self, connection: Connection, *, keep: bool) -> None:
        connection.forget_request()
        connection.keep = keep
        connection.enter(Phase.SENDING, SILENCE_SECONDS)
        self._on_writable(connection)

    def _ask_to_send(self, connection: Connection) -> None:
        """Called by a thread whose stream is ahead of its client."""
        self.method_queue.defer(self._go_on, connection, self._send_for_thread)

    def _send_for_thread(self, connection: Connection) -> None:
        if connection.phase == Phase.IN_THREAD:
            self._watch(connection, EVENT_WRITE, self._on_writable)

    def _on_writable(self, connection: Connection) -> None:
        try:
            is_sent = connection.sock.flush()
        except OSError:
            self._close(connection)
            return
        if connection.phase == Phase.IN_THREAD:
            if is_sent:
                self._ignore(connection)
        elif not is_sent:
            connection.deadline = time.monotonic() + SILENCE_SECONDS
            self._watch(connection, EVENT_WRITE, self._on_writable)
        elif connection.keep:
            self._ignore(connection)
            connection.is_idle = True
            self._await_head(connection, self.cfg.keepalive if self.alive else STOPPING_SECONDS)
        else:
            self._linger(connection)

    def _linger(self, connection: Connection) -> None:
        """Wait until the client has read the response: closing earlier would cut it off (RFC 9112, 9.6)."""
        try:
            connection.socket.shutdown(socket.SHUT_WR)
        except OSError:
            self._close(connection)
            return
        connection.enter(Phase.CLOSING, CLOSING_SECONDS)
        self._watch(connection, EVENT_READ, self._on_readable)

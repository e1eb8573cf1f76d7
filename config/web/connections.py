"""One client's connection: a request that comes in, and what its response is sent through."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from enum import IntEnum
from io import BytesIO
from tempfile import SpooledTemporaryFile
from typing import IO, Any

from config.web.output import Output

AT_ONCE = 256 * 1024  # bytes read before others have their turn
IN_MEMORY = 64 * 1024  # bytes of a body; a longer one lies in a temporary file, which has no name


class Phase(IntEnum):
    """What a connection waits for. Where there is no room for more, those of the lowest number go first."""

    HEAD = 0
    BODY = 1
    CLOSING = 2  # the response is sent; the client may still be sending
    SENDING = 3
    IN_THREAD = 4


class Connection:
    """A connection.

    Attributes:
        input: what was received and not read yet.
        since, deadline: of what it waits for now, on the monotonic clock.
        request: gunicorn's, once its head is complete.
        length, missing: bytes of its body, and those that have not come.
        expects_continue: whether its client waits to be asked for the body.
        keep: whether another request may follow.
        is_idle: whether no byte of the next request has come.
        is_watched: whether the loop is told when its socket is ready.
        sock, client, server: by these names gunicorn's `handle_request` asks for them.
    """

    def __init__(
        self, sock: socket.socket, client: Any, server: Any, watch: Callable[[Connection], None]
    ) -> None:
        self.socket, self.client, self.server = sock, client, server
        self.sock = Output(sock, lambda: watch(self))
        self.input = bytearray()
        self.phase = Phase.HEAD
        self.since = self.deadline = 0.0
        self.requests = 0
        self.request: Any = None
        self.body: IO[bytes] = BytesIO()
        self.length = self.missing = 0
        self.expects_continue = False
        self.keep = False
        self.is_idle = True
        self.is_watched = False

    def enter(self, phase: Phase, seconds: float) -> None:
        """Wait for the next thing, for so long at most."""
        self.phase, self.since = phase, time.monotonic()
        self.deadline = self.since + seconds

    def receive(self) -> bool:
        """Read what is there into `input`. Returns False when the client has ended. Raises: OSError."""
        try:
            content = self.socket.recv(AT_ONCE)
        except BlockingIOError:
            return True
        self.input += content
        return bool(content)

    def take_head(self) -> bytes | None:
        """Return the head of the next request, up to its empty line; None while it is incomplete."""
        while self.input.startswith(b"\r\n"):  # RFC 9112, section 2.2: left over from the request before
            del self.input[:2]
        end = self.input.find(b"\r\n\r\n")
        if end < 0:
            return None
        head = bytes(self.input[: end + 4])
        del self.input[: end + 4]
        return head

    def expect_body(self) -> None:
        self.missing = self.length
        self.body = SpooledTemporaryFile(IN_MEMORY) if self.length else BytesIO()  # noqa: SIM115

    def take_body(self) -> bool:
        """Move what has come of the body out of `input`; return whether it is complete.

        Raises: OSError when there is no room for it.
        """
        piece = self.input[: self.missing]
        del self.input[: self.missing]
        self.body.write(piece)
        self.missing -= len(piece)
        return not self.missing

    def forget_request(self) -> None:
        self.request = None
        self.body.close()

    def close(self) -> None:
        self.forget_request()
        self.sock.abandon()
        self.socket.close()

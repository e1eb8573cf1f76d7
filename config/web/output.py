"""A response on its way to a client that may read slowly, or not at all."""

from __future__ import annotations

import os
import socket
from collections import deque
from collections.abc import Callable
from threading import Condition
from typing import BinaryIO

MOST_WAITING = 1_000_000  # bytes in memory; a thread that has more to send waits until some are gone
MOST_AT_ONCE = 4_000_000  # bytes sent before others have their turn
SILENCE_SECONDS = 30.0  # without a byte taken, a client is taken for gone


class _Span:
    """Bytes of an open file, sent by the kernel without a copy."""

    def __init__(self, file: BinaryIO, offset: int, count: int) -> None:
        self.descriptor = os.dup(file.fileno())  # the application closes its own
        self.offset, self.left = offset, count

    def send(self, to: socket.socket) -> int:
        sent = os.sendfile(to.fileno(), self.descriptor, self.offset, min(self.left, MOST_AT_ONCE))
        if sent == 0:
            raise BrokenPipeError("the file is shorter than was said")
        self.offset, self.left = self.offset + sent, self.left - sent
        return sent

    def close(self) -> None:
        os.close(self.descriptor)


class _Bytes:
    def __init__(self, content: bytes) -> None:
        self.content = memoryview(content)

    @property
    def left(self) -> int:
        return len(self.content)

    def send(self, to: socket.socket) -> int:
        sent = to.send(self.content)
        self.content = self.content[sent:]
        return sent

    def close(self) -> None:
        self.content.release()


class Output:
    """What stands for the socket in the thread that makes a response; the worker's loop sends the rest.

    A page or a file never holds up its thread. A stream does while more than MOST_WAITING bytes of it wait.

    Args: watch: asks the loop, from any thread, to send what waits; it calls `flush`.
    """

    def __init__(self, sock: socket.socket, watch: Callable[[], None]) -> None:
        self.socket, self._watch = sock, watch
        self._pieces: deque[_Bytes | _Span] = deque()
        self._waiting = 0  # bytes of `_Bytes`
        self._changed = Condition()
        self._closed = False

    def sendall(self, content: bytes) -> None:
        """Raises: OSError when the client has gone or reads nothing for SILENCE_SECONDS."""
        with self._changed:
            self._check_open()
            self._pieces.append(_Bytes(content))
            self._waiting += len(content)
            self._send()
            while self._waiting > MOST_WAITING:
                self._watch()
                if not self._changed.wait(SILENCE_SECONDS):
                    raise TimeoutError("the client reads nothing")
                self._check_open()

    def send(self, content: bytes) -> int:
        self.sendall(content)
        return len(content)

    def sendfile(self, file: BinaryIO, offset: int = 0, count: int | None = None) -> int:
        size = os.fstat(file.fileno()).st_size - offset if count is None else count
        with self._changed:
            self._check_open()
            self._pieces.append(_Span(file, offset, size))
            self._send()
        return size

    def flush(self) -> bool:
        """Send what the client takes now; return whether nothing is left. Raises: OSError."""
        with self._changed:
            self._send()
            self._changed.notify_all()
            return not self._pieces

    def abandon(self) -> None:
        """Drop what waits: the connection is closed. A thread that still writes gets an OSError."""
        with self._changed:
            self._closed = True
            while self._pieces:
                self._pieces.popleft().close()
            self._changed.notify_all()

    # What gunicorn does with a socket besides. Closing and lingering are the loop's.

    def gettimeout(self) -> float:
        return 0.0

    def shutdown(self, how: int) -> None:
        raise OSError("the worker's loop closes the connection")

    def close(self) -> None:
        pass

    def _check_open(self) -> None:
        if self._closed:
            raise BrokenPipeError("the client has gone")

    def _send(self) -> None:
        budget = MOST_AT_ONCE
        while self._pieces and budget > 0:
            piece = self._pieces[0]
            if piece.left:
                try:
                    sent = piece.send(self.socket)
                except BlockingIOError:
                    return
                budget -= sent
                if isinstance(piece, _Bytes):
                    self._waiting -= sent
            if not piece.left:
                self._pieces.popleft().close()

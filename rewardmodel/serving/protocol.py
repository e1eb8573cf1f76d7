"""What web processes and scorers say to each other: frames over a socket, and how each knows the other.

A connection carries one question. The scorer greets with random bytes; the question is a JSON object under a
MAC of these; so is every answer, under a MAC of the question's. Both sides hold the same key. Nothing is
encrypted: over TCP this belongs into a private network.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import secrets
import select
import socket
import struct
from collections.abc import Mapping
from typing import Any

Address = str | tuple[str, int]  # a Unix socket's path, or host and port
Message = dict[str, Any]
_LENGTH = struct.Struct(">I")
_MAC = hashlib.sha256().digest_size
# Of a host that is gone nothing is heard: so the system asks after it, and gives it up after 11 s.
GONE = {"TCP_KEEPIDLE": 5, "TCP_KEEPINTVL": 2, "TCP_KEEPCNT": 3, "TCP_USER_TIMEOUT": 11_000}
LONGEST = 16_000_000  # bytes of a JSON object: 64 prompts of 20,000 characters, of 12 bytes at most


class Unauthenticated(ConnectionError):
    """The other side does not hold our key, or does not speak this language."""


def parse_address(text: str) -> Address:
    """`/run/laurel/scorer.sock` or `10.0.0.5:7100`. Raises: ValueError."""
    if "/" in text:
        return text
    host, colon, port = text.rpartition(":")
    if not colon or not host:
        raise ValueError(f"{text!r} is neither the path of a socket nor HOST:PORT")
    return host, int(port)


def connect(address: Address, *, seconds: float) -> socket.socket:
    """Raises: OSError when nobody listens there."""
    if not isinstance(address, str):
        connection = socket.create_connection(address, timeout=seconds)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for name, value in GONE.items():
            if hasattr(socket, name):  # not all systems have them
                connection.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
        return connection
    connection = socket.socket(socket.AF_UNIX)
    connection.settimeout(seconds)
    try:
        connection.connect(address)
    except OSError:
        connection.close()
        raise
    return connection


class Channel:
    """One connection that both sides have proven themselves on. Its socket's timeout holds for each step."""

    def __init__(self, connection: socket.socket, *, key: bytes, proof: bytes) -> None:
        self.socket, self.key, self.proof = connection, key, proof

    def send(self, message: Mapping[str, Any]) -> None:
        """Raises: OSError."""
        self.proof = _send(self.socket, message, key=self.key, after=self.proof)

    def receive(self) -> Message:
        """Raises: OSError; Unauthenticated."""
        message, self.proof = _receive(self.socket, key=self.key, after=self.proof)
        return message

    def send_bytes(self, content: bytes) -> None:
        if content:  # whoever waits for nothing more may have answered by now, and hung up
            self.socket.sendall(content)

    def receive_bytes(self, count: int) -> bytes:
        return _read(self.socket, count)


def ask(connection: socket.socket, question: Mapping[str, Any], *, key: bytes) -> Channel:
    """The asking side's first words. Raises: OSError."""
    greeting = _read(connection, _MAC)
    channel = Channel(connection, key=key, proof=greeting)
    channel.send({**question, "nonce": secrets.token_hex(16)})  # so that no old answer fits
    return channel


def listen(connection: socket.socket, *, key: bytes) -> tuple[Channel, Message]:
    """The answering side's first words, and what it is asked. Raises: OSError; Unauthenticated."""
    greeting = secrets.token_bytes(_MAC)
    connection.sendall(greeting)
    channel = Channel(connection, key=key, proof=greeting)
    return channel, channel.receive()


def is_closed(connection: socket.socket) -> bool:
    """Whether the other side has hung up, without waiting."""
    poll = select.poll()
    poll.register(connection, select.POLLIN)
    if not poll.poll(0):
        return False
    try:
        return connection.recv(1, socket.MSG_PEEK) == b""
    except OSError:
        return True


def _send(connection: socket.socket, message: Mapping[str, Any], *, key: bytes, after: bytes) -> bytes:
    body = json.dumps(message).encode()
    mac = hmac.digest(key, after + body, "sha256")
    connection.sendall(_LENGTH.pack(len(body)) + mac + body)
    return mac


def _receive(connection: socket.socket, *, key: bytes, after: bytes) -> tuple[Message, bytes]:
    head = _read(connection, _LENGTH.size + _MAC)
    length, mac = _LENGTH.unpack(head[: _LENGTH.size])[0], head[_LENGTH.size :]
    if length > LONGEST:
        raise Unauthenticated(f"a message of {length} bytes")
    body = _read(connection, length)
    if not hmac.compare_digest(mac, hmac.digest(key, after + body, "sha256")):
        raise Unauthenticated("a message that was not signed with our key")
    message: Message = json.loads(body)
    return message, mac


def _read(connection: socket.socket, count: int) -> bytes:
    content = bytearray(count)
    rest = memoryview(content)
    while rest:
        got = connection.recv_into(rest)
        if not got:
            raise ConnectionResetError("the other side hung up")
        rest = rest[got:]
    return bytes(content)

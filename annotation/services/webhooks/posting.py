"""Posting to user-supplied URLs, with a time limit and without access to private networks (SSRF).

A name is resolved once, the address is checked, and the connection is made to that address: resolving to
another address later (DNS rebinding) has no effect. Redirects are not followed.
"""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException
from ipaddress import IPv6Address, IPv6Network, ip_address
from typing import Self
from urllib.parse import urlsplit

SECONDS = 10.0  # from connecting until the response's headers have arrived
PORTS = {"https": 443, "http": 80}
_GLOBAL_UNICAST = IPv6Network("2000::/3")


class BadAddress(ValueError):
    """Nothing is posted to this address; the message says why."""


class Undeliverable(Exception):
    """No response was received; the message says why."""


@dataclass(frozen=True)
class Target:
    """Where to post. `private` allows addresses of private networks, and plain HTTP."""

    scheme: str
    host: str
    port: int
    path: str
    private: bool

    @classmethod
    def parse(cls, url: str, *, private: bool) -> Self:
        """Read a URL. Raises: BadAddress."""
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError as error:
            raise BadAddress(str(error)) from None
        if parts.scheme not in PORTS or not parts.hostname:
            raise BadAddress("This is no https address.")
        if parts.scheme == "http" and not private:
            raise BadAddress("Only https: what is sent says what people did.")
        if parts.username is not None or parts.password is not None:
            raise BadAddress("No name or password: the signature says who sends.")
        if not url.isascii() or any(letter <= " " for letter in url):
            raise BadAddress("Only ASCII: write the host as xn--..., other letters as %XX.")
        target = cls(
            parts.scheme,
            parts.hostname,
            port or PORTS[parts.scheme],
            f"{parts.path or '/'}?{parts.query}" if parts.query else parts.path or "/",
            private,
        )
        if not private and _is_literal(target.host) and not is_public(target.host):
            raise BadAddress("This is no public address.")
        return target

    @property
    def authority(self) -> str:
        """Return the value of the Host header."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == PORTS[self.scheme] else f"{host}:{self.port}"


def post(target: Target, *, body: bytes, headers: Mapping[str, str], seconds: float = SECONDS) -> int:
    """Post the body and return the response's status; its body is not read.

    Raises: Undeliverable.
    """
    try:
        with closing(socket.create_connection((_resolve(target), target.port), timeout=seconds)) as plain:
            return _converse(target, plain, body, headers, seconds)
    except (OSError, HTTPException, ValueError) as error:
        raise Undeliverable(f"{type(error).__name__}: {error}") from error


def is_public(address: str) -> bool:
    """Return whether an IP address is public, including IPv4 addresses embedded in IPv6."""
    ip = ip_address(address.partition("%")[0])
    if isinstance(ip, IPv6Address):
        if ip.ipv4_mapped is not None:
            ip = ip.ipv4_mapped
        elif ip not in _GLOBAL_UNICAST or ip.sixtofour is not None:
            return False
    return ip.is_global and not ip.is_multicast


def _resolve(target: Target) -> str:
    """Return an address of the host. Raises: Undeliverable when one of its addresses is not public."""
    try:
        entries = socket.getaddrinfo(target.host, target.port, type=socket.SOCK_STREAM)
    except (socket.gaierror, UnicodeError) as error:
        raise Undeliverable(f"{target.host} is not known: {error}") from None
    addresses = [str(entry[4][0]) for entry in entries]
    if not target.private and not all(is_public(address) for address in addresses):
        raise Undeliverable(f"{target.host} is in a private network")
    return addresses[0]


def _converse(
    target: Target, plain: socket.socket, body: bytes, headers: Mapping[str, str], seconds: float
) -> int:
    encrypted = target.scheme == "https"
    link = (
        ssl.create_default_context().wrap_socket(
            plain, server_hostname=target.host, do_handshake_on_connect=False
        )
        if encrypted
        else plain
    )
    # The socket's time-out restarts with each byte: a server that drips would hold a worker forever.
    watchdog = threading.Timer(seconds, _hang_up, [link])
    watchdog.start()
    try:
        if isinstance(link, ssl.SSLSocket):
            link.do_handshake()
        connection = HTTPConnection(target.host, target.port, timeout=seconds)
        connection.sock = link
        connection.request("POST", target.path, body, {"Host": target.authority, **headers})
        return connection.getresponse().status
    finally:
        watchdog.cancel()
        link.close()


def _hang_up(link: socket.socket) -> None:
    try:
        socket.socket.shutdown(link, socket.SHUT_RDWR)  # the raw socket, also below TLS
    except OSError:
        return  # the connection closed meanwhile


def _is_literal(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True

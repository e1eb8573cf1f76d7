"""Where a request came from."""

from __future__ import annotations

from ipaddress import IPv6Address, ip_address, ip_network

from django.conf import settings
from django.http import HttpRequest


def client_of(request: HttpRequest) -> str:
    """Return where the request came from: behind proxies the address seen by our outermost proxy.

    Earlier entries can be forged.
    """
    client = str(request.META.get("REMOTE_ADDR", ""))
    forwarded = forwarded_for(request)
    if 0 < settings.PROXIES <= len(forwarded):
        client = forwarded[-settings.PROXIES]
    return client


def forwarded_for(request: HttpRequest) -> list[str]:
    """Return what each proxy said of whoever asked it, the last one last; nothing where none said so."""
    header = request.headers.get("X-Forwarded-For", "")
    return [entry.strip() for entry in header.split(",")] if header else []


def client_address(request: HttpRequest) -> str:
    """Return the client's address; for IPv6 the /64 network, which belongs to one customer."""
    client = client_of(request)
    try:
        address = ip_address(client)
    except ValueError:  # a Unix socket, or not an address
        return client[:45]
    if isinstance(address, IPv6Address):
        return str(ip_network((address, 64), strict=False))
    return str(address)

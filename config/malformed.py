"""Requests that cannot be read are refused here, before a view, a form or a query sees what they hold."""

from __future__ import annotations

import codecs
from collections.abc import Callable
from urllib.parse import unquote_to_bytes

from django.core.exceptions import BadRequest
from django.http import HttpRequest, HttpResponseBase

READABLE = {"utf-8", "ascii"}  # JSON and forms have no other charset (RFC 8259, RFC 7578, the URL standard)


def refuse_malformed(
    get_response: Callable[[HttpRequest], HttpResponseBase],
) -> Callable[[HttpRequest], HttpResponseBase]:
    """Answer a malformed request with a 400: a middleware."""

    def middleware(request: HttpRequest) -> HttpResponseBase:
        if reason := _why_malformed(request):
            raise BadRequest(reason)
        return get_response(request)

    return middleware


def _why_malformed(request: HttpRequest) -> str | None:
    if "\0" in request.path_info or b"\0" in unquote_to_bytes(request.META.get("QUERY_STRING", "")):
        return "The address has a NUL, which no text here can hold."
    length = request.META.get("CONTENT_LENGTH") or "0"
    if not (length.isascii() and length.isdecimal() and len(length) < 20):
        return "The content length is no number."
    charset = (request.content_params or {}).get("charset", "utf-8")
    if not _is_readable(charset):
        return f"The charset {charset[:40]!a} is not read here. Send UTF-8."
    return None


def _is_readable(charset: str) -> bool:
    """Python also decodes with what is no charset, as `zip`, and with some that make lone surrogates."""
    try:
        return codecs.lookup(charset).name in READABLE
    except (LookupError, ValueError):  # ValueError: it has a NUL
        return False

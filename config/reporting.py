"""Hooks for Sentry and OpenTelemetry, each off unless a setting asks: nobody's words leave with them.

What annotators, prompts and passwords say is in bodies, queries, cookies and local variables: none is sent.
"""

from __future__ import annotations

import os
from importlib import import_module
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit, urlunsplit

from annotation import request_ids
from config.lines import without_keys

if TYPE_CHECKING:
    from sentry_sdk.types import Event, Hint

SENT_OF_REQUESTS = {"method", "url"}  # to Sentry


class HookMissing(Exception):
    """A setting asks for a library that is not installed; the message says how it is."""


def require(module: str, *, extra: str, setting: str) -> None:
    """Raises: HookMissing."""
    try:
        import_module(module)
    except ImportError:
        raise HookMissing(
            f"{setting} is set and {module} is not installed: pip install '.[{extra}]'"
        ) from None


def report_errors(dsn: str, **options: Any) -> None:
    """Send errors of this process to Sentry.

    Args: options: more of `sentry_sdk.init`.
    Raises: HookMissing.
    """
    require("sentry_sdk", extra="sentry", setting="SENTRY_DSN")
    import sentry_sdk

    sentry_sdk.init(
        dsn=dsn,
        send_default_pii=False,
        include_local_variables=False,
        include_source_context=False,
        max_request_body_size="never",
        max_breadcrumbs=0,  # they hold statements and what was logged before
        before_send=scrub,
        traces_sample_rate=0.0,  # traces are OpenTelemetry's
        **options,
    )


def scrub(event: Event, hint: Hint) -> Event:
    """Return an event without what people wrote or who they are, and with the id of its request."""
    request: dict[str, Any] = event.get("request") or {}
    if request:
        event["request"] = {name: value for name, value in request.items() if name in SENT_OF_REQUESTS}
        event["request"]["url"] = without_query(str(request.get("url", "")))
    for name in ("user", "extra", "breadcrumbs", "contexts", "server_name"):
        event.pop(name, None)  # type: ignore[misc]  # a TypedDict, by variable
    for error in (event.get("exception") or {}).get("values", []):
        error["value"] = ""  # its type and its place tell enough; messages quote prompts and names
        for frame in (error.get("stacktrace") or {}).get("frames", []):
            frame.pop("vars", None)
    entry: Any = event.get("logentry")
    if entry:
        event["logentry"] = {"message": without_keys(str(entry.get("message", "")))}  # without its parameters
    event.pop("message", None)
    if request_id := request_ids.current():
        event["tags"] = {"request_id": request_id}
    return event


def without_query(url: str) -> str:
    """Return an address without its query, and without the secret part of links."""
    return without_keys(urlunsplit(urlsplit(url)._replace(query="", fragment="")))


def trace(*, requests: bool = False) -> None:
    """Send traces of this process where the environment names a collector; else do nothing.

    Args: requests: also of requests: call it before Django is set up.
    Raises: HookMissing.
    """
    if os.environ.get("OTEL_EXPORTER_OTLP_ENDPOINT"):
        require("opentelemetry.sdk", extra="telemetry", setting="OTEL_EXPORTER_OTLP_ENDPOINT")
        from config import tracing

        tracing.begin(requests=requests)

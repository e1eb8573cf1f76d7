"""Traces for OpenTelemetry's collectors, of requests, statements and tasks, without what people wrote."""

from __future__ import annotations

import os
from collections.abc import Sequence

from django.http import HttpRequest, HttpResponseBase
from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.instrumentation.celery import CeleryInstrumentor
from opentelemetry.instrumentation.django import DjangoInstrumentor
from opentelemetry.instrumentation.psycopg import PsycopgInstrumentor
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.trace import Span, Status

from config.reporting import without_query

# Attributes that hold addresses, by their old and their new names.
ADDRESSES = ("http.url", "http.target", "url.full", "url.path")
LEFT_OUT = ("url.query", "http.user_agent", "user_agent.original", "net.peer.ip", "client.address")


def begin(*, requests: bool, exporter: SpanExporter | None = None) -> TracerProvider:
    """Trace what this process does from now on. Args: exporter: instead of OTLP over HTTP."""
    service = os.environ.get("OTEL_SERVICE_NAME", "laurel")
    provider = TracerProvider(resource=Resource.create({"service.name": service}))
    provider.add_span_processor(BatchSpanProcessor(Scrubbed(exporter or OTLPSpanExporter())))
    trace.set_tracer_provider(provider)
    CeleryInstrumentor().instrument(tracer_provider=provider)  # type: ignore[no-untyped-call]
    PsycopgInstrumentor().instrument(tracer_provider=provider)  # statements with placeholders
    if requests:
        DjangoInstrumentor().instrument(tracer_provider=provider, response_hook=_name_request)
    return provider


class Scrubbed(SpanExporter):
    """Exports spans without queries of addresses, keys in links, and messages of errors."""

    def __init__(self, exporter: SpanExporter) -> None:
        self.exporter = exporter

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        return self.exporter.export([scrub(span) for span in spans])

    def shutdown(self) -> None:
        self.exporter.shutdown()

    def force_flush(self, timeout_millis: int = 30000) -> bool:
        return self.exporter.force_flush(timeout_millis)


def scrub(span: ReadableSpan) -> ReadableSpan:
    """Return the span without what people wrote: errors and their messages are Sentry's or the log's."""
    attributes = {
        name: without_query(str(value)) if name in ADDRESSES else value
        for name, value in (span.attributes or {}).items()
        if name not in LEFT_OUT
    }
    return ReadableSpan(
        name=span.name,
        context=span.get_span_context(),
        parent=span.parent,
        resource=span.resource,
        attributes=attributes,
        links=span.links,
        kind=span.kind,
        instrumentation_scope=span.instrumentation_scope,
        status=Status(span.status.status_code),
        start_time=span.start_time,
        end_time=span.end_time,
    )


def _name_request(span: Span, request: HttpRequest, response: HttpResponseBase) -> None:
    """Note the id that the logs have: the one that came with the request may be missing or malformed."""
    span.set_attribute("laurel.request_id", response.headers["X-Request-ID"])

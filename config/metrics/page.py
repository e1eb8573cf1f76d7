"""`/metrics`: who may read it, and the whole text."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from ipaddress import ip_address

from django.conf import settings
from django.db import DatabaseError
from django.http import HttpRequest, HttpResponse
from django.utils.timezone import now
from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, CollectorRegistry, Metric, generate_latest
from prometheus_client.core import GaugeMetricFamily, InfoMetricFamily
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

from annotation.addresses import client_of, forwarded_for
from config.broker import BrokerSilent, open_channel
from config.metrics.folders import read_folders
from config.metrics.rows import read_rows
from config.metrics.scorers import read_scorers

QUEUES = ("default", "gpu")
FORBIDDEN = "Metrics are read with METRICS_TOKEN as a bearer token, or from one of METRICS_NETWORKS.\n"


def metrics(request: HttpRequest) -> HttpResponse:
    """Return all metrics as Prometheus reads them; 403 for whoever may not."""
    if not may_read(request):
        return HttpResponse(FORBIDDEN, status=403, content_type="text/plain")
    registry = CollectorRegistry()
    registry.register(Present())
    if "PROMETHEUS_MULTIPROC_DIR" in os.environ:  # of gunicorn's processes: `config.web.options`
        MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
        text = generate_latest(registry)
    else:
        text = generate_latest(registry) + generate_latest(REGISTRY)
    return HttpResponse(text, content_type=CONTENT_TYPE_LATEST)


def may_read(request: HttpRequest) -> bool:
    """Return whether the request has the token, or comes from one of the networks.

    What a proxy passes on comes from whoever asked the proxy: where fewer of them name somebody than PROXIES
    says, or it says nothing of proxies, a proxy's own address opens nothing.
    """
    scheme, _, secret = request.headers.get("Authorization", "").partition(" ")
    if settings.METRICS_TOKEN and scheme.lower() == "bearer":
        return secrets.compare_digest(secret.strip().encode(), settings.METRICS_TOKEN.encode())
    is_passed_on = "X-Forwarded-For" in request.headers or "Forwarded" in request.headers
    if is_passed_on and not 0 < settings.PROXIES <= len(forwarded_for(request)):
        return False
    try:
        address = ip_address(client_of(request))
    except ValueError:  # a Unix socket, or not an address
        return False
    return any(address in network for network in settings.METRICS_NETWORKS)


class Present(Collector):
    """What is read when asked. A part that does not answer is down, and the others are told all the same."""

    def collect(self) -> Iterator[Metric]:
        up = GaugeMetricFamily("laurel_up", "Whether the database and the broker answer", labels=["part"])
        yield InfoMetricFamily("laurel", "Which Laurel this is", {"version": settings.VERSION})
        yield from read_folders(settings.VAR)
        yield from read_scorers()
        try:
            yield from read_rows(now=now())
            up.add_metric(["database"], 1)
        except DatabaseError:
            up.add_metric(["database"], 0)
        try:
            yield from _read_queues()
            up.add_metric(["broker"], 1)
        except BrokerSilent:
            up.add_metric(["broker"], 0)
        yield up


def _read_queues() -> Iterator[Metric]:
    """Return how many messages wait. Raises: BrokerSilent."""
    waiting = GaugeMetricFamily("laurel_messages", "Messages that wait in the broker", labels=["queue"])
    with open_channel() as channel:
        for queue in QUEUES:
            declared = channel.queue_declare(queue, durable=True)
            waiting.add_metric([queue], declared.message_count)
    yield waiting

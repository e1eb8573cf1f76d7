"""Addresses for programs of whoever runs this: load balancers and Prometheus."""

from __future__ import annotations

from collections.abc import Callable

from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.urls import resolve

PROBES = ("/healthz", "/readyz", "/metrics")


def answer_probes(
    get_response: Callable[[HttpRequest], HttpResponseBase],
) -> Callable[[HttpRequest], HttpResponseBase]:
    """Answer load balancers and Prometheus, which ask by addresses that ALLOWED_HOSTS need not name.

    A middleware, before those that look at the host's name, sessions and forms.
    """

    def middleware(request: HttpRequest) -> HttpResponseBase:
        if request.path_info not in PROBES:
            return get_response(request)
        request.resolver_match = resolve(request.path_info)
        response: HttpResponse = request.resolver_match.func(request)
        response.headers["Content-Length"] = str(len(response.content))
        return response

    return middleware

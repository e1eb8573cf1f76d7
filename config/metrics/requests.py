"""What web processes count of requests, and the id under which each is found in the logs."""

from __future__ import annotations

import time
from collections.abc import Callable

from django.http import HttpRequest, HttpResponseBase
from prometheus_client import Counter, Histogram

from annotation import request_ids

HEADER = "X-Request-ID"
SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 60.0)

request_seconds = Histogram(
    "laurel_request_seconds",
    "Seconds from a complete request to its response, by view and class of status",
    ["view", "status"],
    buckets=SECONDS,
)
server_errors = Counter("laurel_server_errors", "Responses of status 500", ["view"])
refused_requests = Counter(
    "laurel_refused_requests", "Requests refused by their head, before any view, by status", ["status"]
)


def follow_requests(
    get_response: Callable[[HttpRequest], HttpResponseBase],
) -> Callable[[HttpRequest], HttpResponseBase]:
    """Name each request in the logs and in its response, and measure it: the outermost middleware."""

    def middleware(request: HttpRequest) -> HttpResponseBase:
        begun = time.perf_counter()
        request_id = request_ids.accept_or_make(request.headers.get(HEADER, ""))
        request.META[request_ids.META] = request_id
        with request_ids.working_for(request_id):
            response = get_response(request)
        response.headers[HEADER] = request_id
        view = request.resolver_match.view_name if request.resolver_match else "none"
        status = response.status_code
        request_seconds.labels(view, f"{status // 100}xx").observe(time.perf_counter() - begun)
        if status == 500:  # a 503 is an answer: it says which part is away, which has an alert of its own
            server_errors.labels(view).inc()
        return response

    return middleware

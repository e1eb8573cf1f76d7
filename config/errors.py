"""Answers to requests that no view answers: a page for people, JSON for programs."""

from __future__ import annotations

from collections.abc import Callable

from django.core.exceptions import BadRequest
from django.http import (
    HttpRequest,
    HttpResponse,
    HttpResponseBadRequest,
    HttpResponseBase,
    HttpResponseNotAllowed,
    JsonResponse,
)
from django.template.loader import render_to_string
from django.views import defaults

API = "/api/"


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    if request.path_info.startswith(API):
        reason = str(exception) if isinstance(exception, BadRequest) else "This request cannot be read."
        return JsonResponse({"detail": reason}, status=400)
    # Django's own view looks for a CSRF token in the body first, and may be unable to read that.
    return HttpResponseBadRequest(render_to_string("400.html"))


def not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    if request.path_info.startswith(API):
        return JsonResponse({"detail": "There is no such address."}, status=404)
    return defaults.page_not_found(request, exception)


def server_error(request: HttpRequest) -> HttpResponse:
    if request.path_info.startswith(API):
        detail = "The server met an error that nobody expected; it has been logged."
        return JsonResponse({"detail": detail}, status=500)
    return defaults.server_error(request)


def explain_method(
    get_response: Callable[[HttpRequest], HttpResponseBase],
) -> Callable[[HttpRequest], HttpResponseBase]:
    """Say on a page that an address only takes forms, where Django's answer is empty: a middleware."""

    def middleware(request: HttpRequest) -> HttpResponseBase:
        response = get_response(request)
        if isinstance(response, HttpResponseNotAllowed) and not request.path_info.startswith(API):
            response.content = render_to_string("405.html", request=request)
        return response

    return middleware

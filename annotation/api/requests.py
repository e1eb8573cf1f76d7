"""What endpoints share: finding the project of a request, paging rows, and refusing requests."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

from django.db.models import QuerySet
from django.shortcuts import get_object_or_404
from rest_framework import serializers, status
from rest_framework.exceptions import APIException
from rest_framework.pagination import BasePagination, LimitOffsetPagination
from rest_framework.request import Request
from rest_framework.response import Response

from annotation.access import Do, projects_where
from annotation.models import Project, User

V = TypeVar("V", bound=Callable[..., Any])


class Pages(LimitOffsetPagination):
    """`limit` and `offset`; an answer stays small whatever is asked for."""

    max_limit = 1000


class Conflict(APIException):
    """What was asked cannot be done as things stand."""

    status_code = status.HTTP_409_CONFLICT


def user_of(request: Request) -> User:
    """Return the user of the request: permissions let only signed-in users this far."""
    assert isinstance(request.user, User)
    return request.user


def project_of(request: Request, slug: str, do: Do = Do.ADMINISTER) -> Project:
    """Return the project of that slug. Raises: Http404 unless the user may do this there."""
    return get_object_or_404(projects_where(user_of(request), do), slug=slug)


def page_of(
    request: Request,
    rows: QuerySet[Any],
    serializer: type[serializers.Serializer[Any]],
    pages: type[BasePagination] = Pages,
) -> Response:
    """Return a response with one page of the rows, by default by limit and offset."""
    paginator = pages()
    page = paginator.paginate_queryset(rows, request)
    representation = serializer(page, many=True, context={"request": request})
    return paginator.get_paginated_response(representation.data)


def paged_by(pages: type[BasePagination]) -> Callable[[V], V]:
    """Mark an endpoint whose GET uses `page_of` with these pages, for the schema."""

    def decorate(view: V) -> V:
        cast(Any, view).cls.pagination_class = pages
        return view

    return decorate


paged = paged_by(Pages)


def changes_nothing(view: V) -> V:
    """Mark an endpoint whose POST only reads, with a body too long for a URL: read-only tokens may use it."""
    cast(Any, view).cls.changes_nothing = True
    return view


def stays_in_scope(view: V) -> V:
    """Mark an endpoint whose address names no project, and which asks `projects_where` for each it reads."""
    cast(Any, view).cls.stays_in_scope = True
    return view


def valid(form: serializers.Serializer[Any]) -> dict[str, Any]:
    """Return the validated data. Raises: ValidationError."""
    form.is_valid(raise_exception=True)
    data: dict[str, Any] = form.validated_data
    return data

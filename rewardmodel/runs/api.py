"""Endpoints of runs, of any kind: they are listed, asked for and read alike."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from django.db.models import QuerySet
from django.http import Http404, HttpResponse
from django.shortcuts import get_object_or_404
from rest_framework import serializers, status
from rest_framework.request import Request
from rest_framework.response import Response

from annotation.api.requests import Conflict, page_of, project_of, user_of, valid
from annotation.models import Project, User
from rewardmodel.models import Run
from rewardmodel.runs.curves import CURVE_FORMS, curves_file
from rewardmodel.runs.waking import wake

Serializer = type[serializers.Serializer[Any]]


@dataclass(frozen=True)
class RunRequest:
    """How a run of one kind is asked for.

    Attributes:
        form: what may be sent.
        queue: makes the run of the project, who asks, and what was sent.
        refusals: what `queue` raises where such a run could not work.
    """

    form: Serializer
    queue: Callable[[Project, User, dict[str, Any]], Run]
    refusals: tuple[type[Exception], ...]


def list_or_queue(
    request: Request, slug: str, *, model: type[Run], serializer: Serializer, asking: RunRequest
) -> Response:
    """A GET lists the project's runs, the newest first; a POST asks for another, and wakes a worker."""
    project = project_of(request, slug)
    if request.method == "GET":
        runs = model._default_manager.filter(project=project).select_related(*model.inputs)
        return page_of(request, runs, serializer)
    sent = valid(asking.form(data=request.data))
    try:
        run = asking.queue(project, user_of(request), sent)
    except asking.refusals as error:
        raise Conflict(str(error)) from None
    wake(run)
    return Response(serializer(run).data, status=status.HTTP_201_CREATED)


def read_run(request: Request, slug: str, pk: int, *, model: type[Run], serializer: Serializer) -> Response:
    """One run of the project."""
    runs = model._default_manager.filter(project=project_of(request, slug))
    return Response(serializer(get_object_or_404(runs, pk=pk)).data)


def download_run_curves(request: Request, slug: str, pk: int, form: str, *, model: type[Run]) -> HttpResponse:
    """Every curve of one run of the project as a file. Raises: Http404 for another form than csv or json."""
    if form not in CURVE_FORMS:
        raise Http404
    runs = model._default_manager.filter(project=project_of(request, slug))
    return curves_file(get_object_or_404(runs, pk=pk), form)


def find_row(rows: QuerySet[Any], project: Project, field: str, value: str | None) -> Any:
    """Return the project's row with that value; None when no value was sent. Raises: ValidationError."""
    if value is None:
        return None
    row = rows.filter(project=project, **{field: value}).first()
    if row is None:
        raise serializers.ValidationError(f"{project.slug} has no {rows.model._meta.verbose_name} {value!r}")
    return row

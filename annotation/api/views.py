"""Endpoints over the same services and selectors as the pages; another's project is 404."""

from __future__ import annotations

from django.http import StreamingHttpResponse
from django.shortcuts import get_object_or_404
from drf_spectacular.utils import extend_schema
from rest_framework import status
from rest_framework.decorators import api_view
from rest_framework.exceptions import APIException
from rest_framework.pagination import LimitOffsetPagination
from rest_framework.request import Request
from rest_framework.response import Response

from annotation.api.serializers import (
    AddedPromptsSerializer,
    NewPromptsSerializer,
    ProgressSerializer,
    ProjectSerializer,
    PromptSerializer,
    RankingSerializer,
)
from annotation.models import Membership, Project, User
from annotation.selectors.exports import as_json_list, export_imagereward
from annotation.selectors.progress import project_progress
from annotation.services.prompts import PromptChanged, add_prompts

Role = Membership.Role


class Conflict(APIException):
    """What was sent contradicts what is there."""

    status_code = status.HTTP_409_CONFLICT


@extend_schema(responses=ProjectSerializer(many=True))
@api_view(["GET"])
def projects(request: Request) -> Response:
    """The projects that you are a member of."""
    mine = Project.objects.with_role(_user(request), *Role.values)
    return Response(ProjectSerializer(mine, many=True).data)


@extend_schema(responses=ProgressSerializer)
@api_view(["GET"])
def progress(request: Request, slug: str) -> Response:
    """How far the project is, for its inspectors and admins."""
    project = _project(request, slug, Role.INSPECTOR, Role.ADMIN)
    return Response(ProgressSerializer(project_progress(project)).data)


@extend_schema(methods=["GET"], responses=PromptSerializer(many=True))
@extend_schema(methods=["POST"], request=NewPromptsSerializer, responses={201: AddedPromptsSerializer})
@api_view(["GET", "POST"])
def prompts(request: Request, slug: str) -> Response:
    """The project's prompts with their images, or new prompts for it; for its admins."""
    project = _project(request, slug, Role.ADMIN)
    if request.method == "POST":
        return _add_prompts(request, project)
    pages = LimitOffsetPagination()
    page = pages.paginate_queryset(project.prompts.prefetch_related("generations"), request)
    return pages.get_paginated_response(PromptSerializer(page, many=True).data)


@extend_schema(responses=RankingSerializer(many=True))
@api_view(["GET"])
def rankings(request: Request, slug: str) -> StreamingHttpResponse:
    """Every accepted ranking as ImageReward's JSON, streamed; for the project's admins."""
    project = _project(request, slug, Role.ADMIN)
    return StreamingHttpResponse(as_json_list(export_imagereward(project)), content_type="application/json")


def _add_prompts(request: Request, project: Project) -> Response:
    form = NewPromptsSerializer(data=request.data)
    form.is_valid(raise_exception=True)
    texts = {prompt["id"]: prompt["prompt"] for prompt in form.validated_data["prompts"]}
    try:
        _, new = add_prompts(project=project, texts=texts)
    except PromptChanged as error:
        raise Conflict(str(error)) from None
    added = AddedPromptsSerializer({"new": new, "known": len(texts) - new})
    return Response(added.data, status=status.HTTP_201_CREATED)


def _project(request: Request, slug: str, *roles: str) -> Project:
    return get_object_or_404(Project.objects.with_role(_user(request), *roles), slug=slug)


def _user(request: Request) -> User:
    """Permissions let only signed-in people this far."""
    assert isinstance(request.user, User)
    return request.user

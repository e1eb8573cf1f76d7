"""Endpoints over the same services and selectors as the pages; another's project is 404."""

from __future__ import annotations

from django.utils.timezone import now
from drf_spectacular.utils import extend_schema
from rest_framework import status
from rest_framework.decorators import api_view
from rest_framework.request import Request
from rest_framework.response import Response

from annotation.api.requests import Conflict, page_of, paged, project_of, user_of, valid
from annotation.api.serializers import (
    AddedPromptsSerializer,
    NewPromptsSerializer,
    ProgressSerializer,
    ProjectSerializer,
    PromptSerializer,
)
from annotation.models import Membership, Project
from annotation.selectors.results.progress import project_progress
from annotation.services.projects.prompts import PromptChanged, add_prompts

Role = Membership.Role


@extend_schema(responses=ProjectSerializer(many=True))
@api_view(["GET"])
def projects(request: Request) -> Response:
    """The projects that you are a member of."""
    mine = Project.objects.with_role(user_of(request), *Role.values)
    return Response(ProjectSerializer(mine, many=True).data)


@extend_schema(responses=ProgressSerializer)
@api_view(["GET"])
def progress(request: Request, slug: str) -> Response:
    """How far the project is, for its inspectors and admins."""
    project = project_of(request, slug, Role.INSPECTOR, Role.ADMIN)
    return Response(ProgressSerializer(project_progress(project, now=now())).data)


@extend_schema(methods=["GET"], responses=PromptSerializer(many=True))
@extend_schema(methods=["POST"], request=NewPromptsSerializer, responses={201: AddedPromptsSerializer})
@paged
@api_view(["GET", "POST"])
def prompts(request: Request, slug: str) -> Response:
    """The project's prompts with their images; or add some. For its admins."""
    project = project_of(request, slug, Role.ADMIN)
    if request.method == "POST":
        return _add_prompts(request, project)
    return page_of(request, project.prompts.prefetch_related("generations__image"), PromptSerializer)


def _add_prompts(request: Request, project: Project) -> Response:
    sent = valid(NewPromptsSerializer(data=request.data))
    texts = {prompt["id"]: prompt["prompt"] for prompt in sent["prompts"]}
    translations = {
        prompt["id"]: prompt["translation"] for prompt in sent["prompts"] if prompt["translation"]
    }
    try:
        _, new = add_prompts(project=project, texts=texts, translations=translations, by=user_of(request))
    except PromptChanged as error:
        raise Conflict(str(error)) from None
    added = AddedPromptsSerializer({"new": new, "known": len(texts) - new})
    return Response(added.data, status=status.HTTP_201_CREATED)

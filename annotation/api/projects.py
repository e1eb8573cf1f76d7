"""Projects over the API: progress, prompts and guideline; another's project is 404."""

from __future__ import annotations

from typing import Any

from django.http import Http404
from django.shortcuts import get_object_or_404
from django.utils.timezone import now
from drf_spectacular.utils import extend_schema
from rest_framework import serializers, status
from rest_framework.decorators import api_view
from rest_framework.request import Request
from rest_framework.response import Response

from annotation.access import Do, Standing, projects_where, standing_in
from annotation.api.requests import Conflict, page_of, paged, project_of, stays_in_scope, user_of, valid
from annotation.api.serializers import (
    AddedPromptsSerializer,
    NewPromptsSerializer,
    ProgressSerializer,
    ProjectSerializer,
    PromptSerializer,
)
from annotation.models import Project
from annotation.selectors.results.progress import project_progress
from annotation.services.projects.projects import acknowledge
from annotation.services.projects.prompts import PromptChanged, PromptTooLong, add_prompts


class GuidelineSerializer(serializers.Serializer[Any]):
    version = serializers.IntegerField()
    text = serializers.CharField(help_text="Markdown")
    created_at = serializers.DateTimeField()
    is_acknowledged = serializers.BooleanField(help_text="by you")


class AcknowledgementSerializer(serializers.Serializer[Any]):
    version = serializers.IntegerField(min_value=1, max_value=2**31 - 1)


@extend_schema(responses=ProjectSerializer(many=True))
@stays_in_scope
@api_view(["GET"])
def projects(request: Request) -> Response:
    """The projects that you are a member of."""
    visible = projects_where(user_of(request), Do.SEE)
    return Response(ProjectSerializer(visible, many=True).data)


@extend_schema(responses=ProgressSerializer)
@api_view(["GET"])
def progress(request: Request, slug: str) -> Response:
    """How far the project is, for its inspectors and admins."""
    project = project_of(request, slug, Do.INSPECT)
    return Response(ProgressSerializer(project_progress(project, now=now())).data)


@extend_schema(methods=["GET"], responses=PromptSerializer(many=True))
@extend_schema(methods=["POST"], request=NewPromptsSerializer, responses={201: AddedPromptsSerializer})
@paged
@api_view(["GET", "POST"])
def prompts(request: Request, slug: str) -> Response:
    """The project's prompts with their images; or add some. For its admins."""
    project = project_of(request, slug)
    if request.method == "POST":
        return _add_prompts(request, project)
    return page_of(request, project.prompts.prefetch_related("generations__image"), PromptSerializer)


def _add_prompts(request: Request, project: Project) -> Response:
    fields = valid(NewPromptsSerializer(data=request.data))
    texts = {prompt["id"]: prompt["prompt"] for prompt in fields["prompts"]}
    translations = {
        prompt["id"]: prompt["translation"] for prompt in fields["prompts"] if prompt["translation"]
    }
    try:
        _, new = add_prompts(project=project, texts=texts, translations=translations, by=user_of(request))
    except PromptTooLong as error:
        raise serializers.ValidationError({"prompts": [str(error)]}) from None
    except PromptChanged as error:
        raise Conflict(str(error)) from None
    added = AddedPromptsSerializer({"new": new, "known": len(texts) - new})
    return Response(added.data, status=status.HTTP_201_CREATED)


@extend_schema(methods=["GET"], responses=GuidelineSerializer)
@extend_schema(methods=["POST"], request=AcknowledgementSerializer, responses=GuidelineSerializer)
@api_view(["GET", "POST"])
def guideline(request: Request, slug: str) -> Response:
    """The newest version; or record that you have read the version named."""
    standing = _standing(request, slug)
    if request.method == "POST":
        version = valid(AcknowledgementSerializer(data=request.data))["version"]
        guideline = get_object_or_404(standing.project.guidelines, version=version)
        acknowledge(guideline=guideline, user=user_of(request))
        standing = _standing(request, slug)
    fields = {
        "version": standing.guideline.version,
        "text": standing.guideline.text,
        "created_at": standing.guideline.created_at,
        "is_acknowledged": not standing.is_reading_due,
    }
    return Response(GuidelineSerializer(fields).data)


def _standing(request: Request, slug: str) -> Standing:
    """Return the user's standing. Raises: Http404 for users without a part in the project's work."""
    standing = standing_in(slug, user_of(request))
    if standing is None:
        raise Http404
    return standing

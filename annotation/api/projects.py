"""Projects over the API: made and set, their progress, prompts and guideline; another's project is 404."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.core.exceptions import ValidationError
from django.db import IntegrityError
from django.http import Http404
from django.shortcuts import get_object_or_404
from django.template.loader import render_to_string
from django.utils.timezone import now
from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework import serializers, status
from rest_framework.decorators import api_view
from rest_framework.exceptions import PermissionDenied
from rest_framework.request import Request
from rest_framework.response import Response

from annotation.access import Do, Standing, may_create_projects, projects_where, standing_in
from annotation.api.forms import FormSerializer, fields_of, filled_by
from annotation.api.requests import Conflict, page_of, paged, project_of, stays_in_scope, user_of, valid
from annotation.api.serializers import (
    AddedPromptsSerializer,
    NewPromptsSerializer,
    ProgressSerializer,
    ProjectSerializer,
    PromptSerializer,
)
from annotation.forms.projects import FIRST_GUIDELINE, GuidelineForm, NewProjectForm, ProjectForm
from annotation.models import Project
from annotation.selectors.results.progress import project_progress
from annotation.services.projects.projects import (
    SettingsFrozen,
    acknowledge,
    change_settings,
    create_project,
    publish_guideline,
)
from annotation.services.projects.prompts import PromptChanged, PromptTooLong, add_prompts


class GuidelineSerializer(serializers.Serializer[Any]):
    version = serializers.IntegerField()
    text = serializers.CharField(help_text="Markdown")
    created_at = serializers.DateTimeField()
    is_acknowledged = serializers.BooleanField(help_text="by you")


class AcknowledgementSerializer(serializers.Serializer[Any]):
    version = serializers.IntegerField(min_value=1, max_value=2**31 - 1)


class NewGuidelineSerializer(serializers.Serializer[Any]):
    text = serializers.CharField(max_length=100_000, trim_whitespace=False, help_text="Markdown")


# What the pages *New project* and *Settings* ask for. The slug is required here: sent again after a lost
# connection, a project is made once.
ProjectSettingsSerializer = type("ProjectSettingsSerializer", (FormSerializer,), fields_of(ProjectForm))
SetProjectSerializer = type(
    "SetProjectSerializer", (ProjectSettingsSerializer,), {"slug": serializers.SlugField(read_only=True)}
)
NewProjectSerializer = type(
    "NewProjectSerializer",
    (FormSerializer,),
    fields_of(NewProjectForm, without=["material"])
    | {"name": serializers.CharField(max_length=100), "slug": serializers.SlugField(max_length=50)},
)


@extend_schema(methods=["GET"], responses=ProjectSerializer(many=True))
@extend_schema(
    methods=["POST"],
    request=NewProjectSerializer,
    responses={
        201: SetProjectSerializer,
        200: OpenApiResponse(SetProjectSerializer, description="There is one already, with these settings."),
        403: OpenApiResponse(description="For superusers, and for admins of any project."),
        409: OpenApiResponse(description="There is one of that slug, with other settings."),
    },
)
@stays_in_scope
@api_view(["GET", "POST"])
def projects(request: Request) -> Response:
    """The projects that you are a member of; or make one. What is left out is as on the page."""
    user = user_of(request)
    if request.method == "POST":
        return _create(request)
    return Response(ProjectSerializer(projects_where(user, Do.SEE), many=True).data)


def _create(request: Request) -> Response:
    user = user_of(request)
    if not may_create_projects(user):
        raise PermissionDenied("Projects are made by superusers and by admins of any project.")
    fields = valid(NewProjectSerializer(data=request.data))
    try:
        form = filled_by(NewProjectForm, fields, initial={"guideline": render_to_string(FIRST_GUIDELINE)})
        settings = {name: value for name, value in form.cleaned_data.items() if name != "material"}
        project = create_project(admin=user, **settings)
    except (serializers.ValidationError, ValidationError, IntegrityError) as refusal:
        known = projects_where(user, Do.ADMINISTER).filter(slug=fields["slug"]).first()
        if known is None:
            if isinstance(refusal, serializers.ValidationError):
                raise
            raise Conflict("Somebody has just made a project of this slug.") from None
        _check_same(known, fields)
        return Response(SetProjectSerializer(known).data)
    return Response(SetProjectSerializer(project).data, status=status.HTTP_201_CREATED)


def _check_same(project: Project, sent: Mapping[str, Any]) -> None:
    """Raises: Conflict where the project differs from what was sent."""
    text = project.guidelines.values_list("text", flat=True).first()
    if any(
        value.strip() != text if name == "guideline" else getattr(project, name) != value
        for name, value in sent.items()
    ):
        raise Conflict("There is a project of this slug, with other settings or another guideline: PATCH it.")


@extend_schema(methods=["GET"], responses=SetProjectSerializer)
@extend_schema(
    methods=["PATCH"],
    request=ProjectSettingsSerializer,
    responses={
        200: SetProjectSerializer,
        409: OpenApiResponse(description="Answers depend on it, and work is open already."),
    },
)
@api_view(["GET", "PATCH"])
def project(request: Request, slug: str) -> Response:
    """The project's settings; or change those that are sent. For its admins."""
    row = project_of(request, slug)
    if request.method == "PATCH":
        fields = valid(ProjectSettingsSerializer(data=request.data))
        form = filled_by(ProjectForm, fields, instance=row)
        sent = {name: form.cleaned_data[name] for name in fields}
        try:
            row = change_settings(project=row, by=user_of(request), **sent)
        except SettingsFrozen as error:
            names = ", ".join(error.fields)
            raise Conflict(f"{names}: stays as it is, work is open already, or being imported.") from None
        except ValidationError as error:
            raise serializers.ValidationError(error.message_dict) from None
    return Response(SetProjectSerializer(row).data)


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
@extend_schema(
    methods=["PUT"],
    request=NewGuidelineSerializer,
    responses=GuidelineSerializer,
    description="Publish a new version, for admins; the text of the newest one changes nothing.",
)
@api_view(["GET", "POST", "PUT"])
def guideline(request: Request, slug: str) -> Response:
    """The newest version; or record that you have read the version named."""
    standing = _standing(request, slug)
    if request.method == "PUT":
        _publish(request, project_of(request, slug))
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


def _publish(request: Request, project: Project) -> None:
    sent = valid(NewGuidelineSerializer(data=request.data))
    text = filled_by(GuidelineForm, sent).cleaned_data["text"]
    newest = project.guidelines.first()
    if newest is None or newest.text != text:
        publish_guideline(project=project, text=text, by=user_of(request))


def _standing(request: Request, slug: str) -> Standing:
    """Return the user's standing. Raises: Http404 for users without a part in the project's work."""
    standing = standing_in(slug, user_of(request))
    if standing is None:
        raise Http404
    return standing

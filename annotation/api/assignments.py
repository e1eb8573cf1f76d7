"""Assignments over the API: opening and listing them, and reviewing answers."""

from __future__ import annotations

from typing import Any

from django.shortcuts import get_object_or_404
from django.utils import timezone
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework import serializers, status
from rest_framework.decorators import api_view
from rest_framework.request import Request
from rest_framework.response import Response

from annotation.access import Do
from annotation.api.requests import Conflict, page_of, paged, project_of, user_of, valid
from annotation.api.serializers import MOST_PROMPTS, ReviewSerializer
from annotation.models import Assignment, Project, Review
from annotation.services.assignments.assignments import open_assignments
from annotation.services.judgements.reviews import NotUnderReview, OwnAnswer, accept, send_back


class AssignmentSerializer(serializers.Serializer[Any]):
    id = serializers.IntegerField()
    prompt_id = serializers.CharField(source="prompt.key")
    kind = serializers.ChoiceField(choices=Assignment.Kind.choices)
    state = serializers.ChoiceField(choices=Assignment.State.choices)
    annotator = serializers.CharField(source="annotator.username", default=None, allow_null=True)
    claimed_at = serializers.DateTimeField(allow_null=True)
    leased_until = serializers.DateTimeField(allow_null=True)
    submitted_at = serializers.DateTimeField(allow_null=True)


class WantedPromptsSerializer(serializers.Serializer[Any]):
    prompts = serializers.ListField(
        child=serializers.CharField(),
        required=False,
        help_text="their ids; default: all",
        max_length=MOST_PROMPTS,
    )


class OpenedSerializer(serializers.Serializer[Any]):
    opened = serializers.IntegerField(help_text="opinions asked for that were not asked for before")


class NewReviewSerializer(serializers.Serializer[Any]):
    verdict = serializers.ChoiceField(choices=Review.Verdict.choices)
    reason = serializers.CharField(default="", allow_blank=True, max_length=2000)
    version = serializers.CharField(
        required=False,
        allow_blank=True,
        help_text="the answer's, as you read it; default: whatever it says now",
    )

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if attrs["verdict"] == Review.Verdict.REJECTED and not attrs["reason"].strip():
            raise serializers.ValidationError({"reason": ["Say why: it is kept with the answer."]})
        return attrs


@extend_schema(
    methods=["GET"],
    parameters=[
        OpenApiParameter("state", enum=Assignment.State.values),
        OpenApiParameter("annotator", description="a user name"),
        OpenApiParameter("prompt_id"),
    ],
    responses=AssignmentSerializer(many=True),
)
@extend_schema(methods=["POST"], request=WantedPromptsSerializer, responses={201: OpenedSerializer})
@paged
@api_view(["GET", "POST"])
def assignments(request: Request, slug: str) -> Response:
    """The opinions wanted; or ask for the project's number on each prompt that has its images. For admins."""
    project = project_of(request, slug)
    if request.method == "POST":
        return _open(request, project)
    rows = Assignment.objects.filter(project=project).select_related("prompt", "annotator")
    for name, column in (
        ("state", "state"),
        ("annotator", "annotator__username"),
        ("prompt_id", "prompt__key"),
    ):
        if (value := request.query_params.get(name)) is not None:
            rows = rows.filter(**{column: value})
    return page_of(request, rows, AssignmentSerializer)


@extend_schema(
    request=NewReviewSerializer,
    responses={
        201: ReviewSerializer,
        409: OpenApiResponse(
            description="It is your own, in no state that this verdict changes, or changed since you read it."
        ),
    },
)
@api_view(["POST"])
def reviews(request: Request, slug: str, pk: int) -> Response:
    """Accept an answer, or send it back: somebody else is asked then. For inspectors and admins."""
    project, user = project_of(request, slug, Do.INSPECT), user_of(request)
    answers = Assignment.objects.filter(project=project, submitted_at__isnull=False)
    assignment = get_object_or_404(answers.select_related("project", "prompt"), pk=pk)
    fields = valid(NewReviewSerializer(data=request.data))
    if fields.get("version", assignment.version) != assignment.version:
        raise Conflict("Its annotator changed it since you read it; read it again.")
    now = timezone.now()
    try:
        if fields["verdict"] == Review.Verdict.ACCEPTED:
            accept(assignment=assignment, inspector=user, now=now)
        else:
            send_back(assignment=assignment, inspector=user, reason=fields["reason"], now=now)
    except OwnAnswer:
        raise Conflict("Nobody reviews their own answer.") from None
    except NotUnderReview:
        raise Conflict("The answer is in no state that this verdict may change.") from None
    return Response(ReviewSerializer(assignment.reviews.first()).data, status=status.HTTP_201_CREATED)


def _open(request: Request, project: Project) -> Response:
    keys = valid(WantedPromptsSerializer(data=request.data)).get("prompts")
    prompts = project.prompts.all()
    if keys is not None:
        prompts = prompts.filter(key__in=keys)
        existing = set(prompts.values_list("key", flat=True))
        if unknown := sorted(set(keys) - existing):
            raise serializers.ValidationError({"prompts": [f"The project has no prompt {unknown[0]!r}."]})
    opened = OpenedSerializer({"opened": len(open_assignments(prompts=prompts, by=user_of(request)))})
    return Response(opened.data, status=status.HTTP_201_CREATED)

"""Quality, pauses and qualifications of annotators over the API, for inspectors and admins."""

from __future__ import annotations

from typing import Any

from django.shortcuts import get_object_or_404
from django.utils import timezone
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework import serializers, status
from rest_framework.decorators import api_view
from rest_framework.request import Request
from rest_framework.response import Response

from annotation.access import Do, members_who
from annotation.api.requests import Conflict, page_of, paged, project_of, user_of, valid
from annotation.models import Pause, Project, Qualification, User
from annotation.selectors.checks.quality import annotators_quality
from annotation.services.checks.onboarding import decide_by_hand
from annotation.services.checks.pauses import AlreadyPaused, NotPaused, lift, pause

REASON_LENGTH = 500


class AgreedSerializer(serializers.Serializer[Any]):
    answers = serializers.IntegerField(help_text="compared")
    share = serializers.FloatField(allow_null=True, help_text="of pairs that agree; null: too few to say")


class PauseSerializer(serializers.Serializer[Any]):
    id = serializers.IntegerField()
    annotator = serializers.CharField(source="user.username")
    rule = serializers.ChoiceField(choices=Pause.Rule.choices)
    reason = serializers.CharField()
    paused_by = serializers.CharField(source="paused_by.username", default=None, allow_null=True)
    paused_at = serializers.DateTimeField()
    lifted_by = serializers.CharField(source="lifted_by.username", default=None, allow_null=True)
    lifted_at = serializers.DateTimeField(allow_null=True)


class QualificationSerializer(serializers.Serializer[Any]):
    annotator = serializers.CharField(source="user.username")
    outcome = serializers.ChoiceField(choices=Qualification.Outcome.choices)
    agreed = serializers.FloatField(help_text="pairs of the test, a tie by one side alone as half")
    pairs = serializers.IntegerField(help_text="0: decided by hand")
    threshold = serializers.FloatField(help_text="share asked for then")
    decided_by = serializers.CharField(source="decided_by.username", default=None, allow_null=True)
    reason = serializers.CharField()
    decided_at = serializers.DateTimeField()


class AnnotatorQualitySerializer(serializers.Serializer[Any]):
    username = serializers.CharField(source="user.username")
    answered = serializers.IntegerField(source="progress.done")
    accepted = serializers.IntegerField(source="progress.accepted")
    rejected = serializers.IntegerField(source="progress.rejected")
    skipped = serializers.IntegerField()
    gold = AgreedSerializer(help_text="agreement with known answers")
    repeats = AgreedSerializer(help_text="agreement with their own of before")
    seconds = serializers.FloatField(allow_null=True, help_text="an image, the median")
    prefers_a_place = serializers.BooleanField(help_text="their best image stands at some place too often")
    pause = PauseSerializer(allow_null=True, help_text="in force")
    qualification = QualificationSerializer(allow_null=True, help_text="the newest")


class NewPauseSerializer(serializers.Serializer[Any]):
    annotator = serializers.CharField(help_text="a user name")
    reason = serializers.CharField(max_length=REASON_LENGTH, help_text="shown to them")


class NewQualificationSerializer(NewPauseSerializer):
    outcome = serializers.ChoiceField(choices=Qualification.Outcome.choices)


WHOSE = OpenApiParameter("annotator", description="a user name")


@extend_schema(responses=AnnotatorQualitySerializer(many=True))
@api_view(["GET"])
def quality(request: Request, slug: str) -> Response:
    """How well each annotator works, and whether they may."""
    project = project_of(request, slug, Do.INSPECT)
    return Response(AnnotatorQualitySerializer(annotators_quality(project), many=True).data)


@extend_schema(methods=["GET"], parameters=[WHOSE], responses=PauseSerializer(many=True))
@extend_schema(
    methods=["POST"],
    request=NewPauseSerializer,
    responses={201: PauseSerializer, 409: OpenApiResponse(description="They are paused already.")},
)
@paged
@api_view(["GET", "POST"])
def pauses(request: Request, slug: str) -> Response:
    """Who was given no work, and why, the newest first; or pause somebody."""
    project = project_of(request, slug, Do.INSPECT)
    if request.method == "GET":
        return page_of(request, _rows_by_annotator(request, project.pauses), PauseSerializer)
    fields = valid(NewPauseSerializer(data=request.data))
    annotator, now = _annotator(project, fields["annotator"]), timezone.now()
    try:
        new_pause = pause(
            annotator=annotator, project=project, reason=fields["reason"], by=user_of(request), now=now
        )
    except AlreadyPaused:
        raise Conflict(f"{annotator} is paused already.") from None
    return Response(PauseSerializer(new_pause).data, status=status.HTTP_201_CREATED)


@extend_schema(
    responses={200: PauseSerializer, 409: OpenApiResponse(description="It was lifted before.")},
)
@api_view(["DELETE"])
def lift_pause(request: Request, slug: str, pk: int) -> Response:
    """Give somebody work again. The pause stays in the list, as lifted."""
    project = project_of(request, slug, Do.INSPECT)
    in_force = get_object_or_404(project.pauses, pk=pk)
    try:
        lifted = lift(pause=in_force, by=user_of(request), now=timezone.now())
    except NotPaused:
        raise Conflict("The pause was lifted before.") from None
    return Response(PauseSerializer(lifted).data)


@extend_schema(methods=["GET"], parameters=[WHOSE], responses=QualificationSerializer(many=True))
@extend_schema(methods=["POST"], request=NewQualificationSerializer, responses={201: QualificationSerializer})
@paged
@api_view(["GET", "POST"])
def qualifications(request: Request, slug: str) -> Response:
    """Who was qualified or refused, by the test or by hand, the newest first; or decide by hand."""
    project = project_of(request, slug, Do.INSPECT)
    if request.method == "GET":
        return page_of(request, _rows_by_annotator(request, project.qualifications), QualificationSerializer)
    fields = valid(NewQualificationSerializer(data=request.data))
    decided = decide_by_hand(
        annotator=_annotator(project, fields["annotator"]),
        project=project,
        outcome=fields["outcome"],
        reason=fields["reason"],
        by=user_of(request),
        now=timezone.now(),
    )
    return Response(QualificationSerializer(decided).data, status=status.HTTP_201_CREATED)


def _rows_by_annotator(request: Request, rows: Any) -> Any:
    """Return the rows of the annotator in the query, else all, with related users."""
    name = request.query_params.get("annotator")
    rows = rows.select_related()
    return rows if name is None else rows.filter(user__username=name)


def _annotator(project: Project, name: str) -> User:
    """Return the annotator of this name. Raises: ValidationError for other users."""
    members = members_who(project, Do.ANNOTATE).select_related("user")
    member = members.filter(user__username=name).first()
    if member is None:
        raise serializers.ValidationError({"annotator": [f"{name!r} does not annotate here."]})
    return member.user

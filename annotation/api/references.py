"""References over the API: researchers list them, admins choose them."""

from __future__ import annotations

import random
from typing import Any

from django.shortcuts import get_object_or_404
from django.utils import timezone
from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework import serializers, status
from rest_framework.decorators import api_view
from rest_framework.request import Request
from rest_framework.response import Response

from annotation.access import Do
from annotation.api.requests import Conflict, page_of, paged, project_of, user_of, valid
from annotation.api.work import TaskSerializer, task_fields
from annotation.models import Assignment, Reference
from annotation.selectors.checks.references import references_of
from annotation.services.checks.references import (
    NothingToAnswer,
    NotTrusted,
    choose_reference,
    claim_reference,
    retire_reference,
)


class ReferenceSerializer(serializers.Serializer[Any]):
    id = serializers.IntegerField()
    prompt_id = serializers.CharField(source="prompt.key")
    prompt = serializers.CharField(source="prompt.text")
    purpose = serializers.ChoiceField(choices=Reference.Purpose.choices)
    note = serializers.CharField(help_text="shown with the feedback on a training item")
    assignment = serializers.IntegerField(source="answer_id", help_text="the answer compared with")
    answered_by = serializers.CharField(source="answer.annotator.username")
    answers = serializers.IntegerField(help_text="compared with it so far")
    agreed = serializers.FloatField(allow_null=True, help_text="pairs of theirs, a tie by one side as half")
    pairs = serializers.IntegerField(allow_null=True)
    retired_at = serializers.DateTimeField(allow_null=True, help_text="null: in use")


class NewReferenceSerializer(serializers.Serializer[Any]):
    assignment = serializers.IntegerField(help_text="an accepted answer of a researcher, inspector or admin")
    purpose = serializers.ChoiceField(choices=Reference.Purpose.choices)
    note = serializers.CharField(default="", allow_blank=True, max_length=2000)


class ReferenceTaskSerializer(TaskSerializer):
    assignment = serializers.IntegerField(help_text="names the answer, once it is given, for `references/`")


class NextReferenceSerializer(serializers.Serializer[Any]):
    prompt_id = serializers.CharField(required=False, help_text="the prompt to answer; left out: any")


@extend_schema(methods=["GET"], responses=ReferenceSerializer(many=True))
@extend_schema(
    methods=["POST"],
    request=NewReferenceSerializer,
    responses={
        201: ReferenceSerializer,
        409: OpenApiResponse(description="Others cannot be compared with this answer."),
    },
)
@paged
@api_view(["GET", "POST"])
def references(request: Request, slug: str) -> Response:
    """The references, those in use first; or compare others with an answer from now on, for admins."""
    if request.method == "GET":
        rows = references_of(project_of(request, slug, Do.RESEARCH))
        return page_of(request, rows, ReferenceSerializer)
    project = project_of(request, slug)
    data = valid(NewReferenceSerializer(data=request.data))
    answer = Assignment.objects.filter(project=project, pk=data["assignment"]).first()
    if answer is None:
        raise serializers.ValidationError({"assignment": ["The project has no such answer."]})
    try:
        reference = choose_reference(
            answer=answer, purpose=data["purpose"], note=data["note"], by=user_of(request), now=timezone.now()
        )
    except NotTrusted as error:
        raise Conflict(str(NotTrusted.__doc__)) from error
    representation = ReferenceSerializer(references_of(project).get(pk=reference.pk))
    return Response(representation.data, status=status.HTTP_201_CREATED)


@extend_schema(
    request=NextReferenceSerializer,
    responses={
        200: ReferenceTaskSerializer,
        409: OpenApiResponse(description="You answered it already, or it cannot be ranked."),
    },
)
@api_view(["POST"])
def next_reference(request: Request, slug: str) -> Response:
    """A prompt to answer for comparison, now yours, or the one you hold; `answers/` takes its answer."""
    project, prompt = project_of(request, slug, Do.RESEARCH), None
    fields = valid(NextReferenceSerializer(data=request.data))
    if "prompt_id" in fields:
        prompt = project.prompts.filter(key=fields["prompt_id"]).first()
        if prompt is None:
            raise serializers.ValidationError({"prompt_id": ["The project has no prompt of this id."]})
    try:
        claimed = claim_reference(
            researcher=user_of(request),
            project=project,
            now=timezone.now(),
            generator=random.Random(),
            prompt=prompt,
        )
    except NothingToAnswer as error:
        raise Conflict(str(NothingToAnswer.__doc__)) from error
    task = Assignment.objects.with_images().select_related("project", "prompt").get(pk=claimed.pk)
    fields = task_fields(request, task) | {"assignment": task.pk}
    return Response(ReferenceTaskSerializer(fields).data)


@extend_schema(responses={204: None})
@api_view(["DELETE"])
def retire(request: Request, slug: str, pk: int) -> Response:
    """Ask nobody any more; what was compared with it stays. For admins."""
    reference = get_object_or_404(Reference, pk=pk, prompt__project=project_of(request, slug))
    retire_reference(reference=reference, by=user_of(request), now=timezone.now())
    return Response(status=status.HTTP_204_NO_CONTENT)

"""Tasks over the API: claimed, answered or skipped, one at a time.

Annotators see only what their pages show: tasks are identified by their claim and images by the numbers
shown, because ids would reveal which generator made an image.
"""

from __future__ import annotations

import random
from datetime import datetime
from typing import Any

from django.http import Http404
from django.utils import timezone
from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework import serializers, status
from rest_framework.decorators import api_view
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.reverse import reverse

from annotation.access import Do, standing_in
from annotation.api.requests import Conflict, project_of, user_of, valid
from annotation.api.serializers import AxisSerializer
from annotation.models import Assignment, Image, Project, ShownImage, Skip, User
from annotation.services.assignments.assignments import LeaseLost, claim_next
from annotation.services.assignments.skips import NotSkippable, SkipsUsedUp, skip_task


class ShownImageSerializer(serializers.Serializer[Any]):
    number = serializers.IntegerField(help_text="from 1, in the order shown")
    url = serializers.URLField(
        allow_null=True, help_text="the file; ask for it with the same token; null: there never was one"
    )
    width = serializers.IntegerField(allow_null=True, help_text="pixels")
    height = serializers.IntegerField(allow_null=True, help_text="pixels")
    is_flagged = serializers.BooleanField(help_text="it may be harmful: the pages blur it")


class TaskSerializer(serializers.Serializer[Any]):
    claim = serializers.CharField(help_text="names this task: its answer carries it")
    prompt = serializers.CharField()
    translation = serializers.CharField(help_text="of the prompt, where one was imported")
    images = ShownImageSerializer(many=True)
    leased_until = serializers.DateTimeField(help_text="so long it is yours, and until another takes it")
    asks_label = serializers.BooleanField()
    asks_ratings = serializers.BooleanField()
    axes = AxisSerializer(
        many=True, help_text="that each image is rated on, where it is; by name in the answer"
    )
    asks_acceptable = serializers.BooleanField()
    slots = serializers.IntegerField()
    per_slot = serializers.IntegerField()


class NewSkipSerializer(serializers.Serializer[Any]):
    claim = serializers.CharField()
    reason = serializers.ChoiceField(choices=Skip.Reason.choices)
    note = serializers.CharField(default="", allow_blank=True, max_length=500)


@extend_schema(
    request=None,
    responses={
        200: TaskSerializer,
        204: OpenApiResponse(description="Nothing is left for you."),
        409: OpenApiResponse(description="A guideline to acknowledge first, a pause, or a test to pass."),
    },
)
@api_view(["POST"])
def next_task(request: Request, slug: str) -> Response:
    """The task you hold, or else the next one, now yours; asking again gives the same."""
    user = user_of(request)
    standing = standing_in(slug, user)
    if standing is None or not standing.annotates:
        raise Http404
    if standing.is_reading_due:
        raise Conflict(f"Read and acknowledge version {standing.guideline.version} of the guideline first.")
    if standing.paused:
        raise Conflict(f"You are given no work at present: {standing.paused}")
    if not standing.is_qualified:
        raise Conflict("You are given work once you have passed the project's test, on its pages.")
    task = claim_next(annotator=user, project=standing.project, now=timezone.now(), generator=random.Random())
    if task is None:
        return Response(status=status.HTTP_204_NO_CONTENT)
    return Response(TaskSerializer(task_fields(request, task)).data)


def task_fields(request: Request, task: Assignment) -> dict[str, Any]:
    """Return the fields of a task, with its images prefetched, as the person sees it who holds it."""
    project = task.project
    return {
        "claim": task.claim,
        "prompt": task.prompt.text,
        "translation": task.prompt.translation,
        "images": [
            shown_image(request, number, image, is_flagged=image.is_flagged)
            for number, image in enumerate(task.images, start=1)
        ],
        "leased_until": task.leased_until,
        "asks_label": project.asks_label,
        "asks_ratings": project.asks_ratings,
        "axes": project.rating_axes,
        "asks_acceptable": project.asks_acceptable,
        "slots": project.slots,
        "per_slot": project.per_slot,
    }


@extend_schema(
    request=NewSkipSerializer,
    responses={
        204: OpenApiResponse(description="Somebody else is asked."),
        404: OpenApiResponse(description="You hold, and held, no task of that claim."),
        409: OpenApiResponse(description="It was answered already, or no more may be skipped for now."),
    },
)
@api_view(["POST"])
def skip(request: Request, slug: str) -> Response:
    """Pass on the task you hold, with a reason. Again changes nothing."""
    project, user = project_of(request, slug, Do.ANNOTATE), user_of(request)
    fields = valid(NewSkipSerializer(data=request.data))
    task = held_task(user, project, fields["claim"])
    try:
        skip_task(
            assignment=task, annotator=user, reason=fields["reason"], note=fields["note"], now=timezone.now()
        )
    except SkipsUsedUp as error:
        raise Conflict(str(error)) from None
    except NotSkippable:
        raise Conflict("Training and test are answered on the project's pages.") from None
    except LeaseLost:
        raise Conflict("This task was answered already.") from None
    return Response(status=status.HTTP_204_NO_CONTENT)


def held_task(user: User, project: Project, claim: str) -> Assignment:
    """Return the annotator's task of that claim, answered or not. Raises: Http404."""
    try:
        claimed_at = datetime.fromisoformat(claim)
    except ValueError:
        raise Http404 from None
    if timezone.is_naive(claimed_at):
        raise Http404
    claimed = Assignment.objects.filter(project=project, annotator=user, claimed_at=claimed_at)
    task = claimed.select_related("project", "prompt").first()
    if task is None:
        raise Http404
    return task


def shown_image(
    request: Request, number: int, image: Image | ShownImage | None, *, is_flagged: bool
) -> dict[str, Any]:
    """Return an image as shown to annotators. Images imported without a file have no URL."""
    return {
        "number": number,
        "url": reverse("api-image", [image.token], request=request) if image else None,
        "width": image.width if image else None,
        "height": image.height if image else None,
        "is_flagged": is_flagged,
    }

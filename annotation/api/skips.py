"""Passing on a task over the API."""

from __future__ import annotations

from typing import Any

from django.utils import timezone
from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework import serializers, status
from rest_framework.decorators import api_view
from rest_framework.request import Request
from rest_framework.response import Response

from annotation.api.answers import held_task
from annotation.api.requests import Conflict, project_of, user_of, valid
from annotation.models import Membership, Skip
from annotation.services.assignments import LeaseLost
from annotation.services.skips import NotSkippable, SkipsUsedUp, skip_task


class NewSkipSerializer(serializers.Serializer[Any]):
    claim = serializers.CharField()
    reason = serializers.ChoiceField(choices=Skip.Reason.choices)
    note = serializers.CharField(default="", allow_blank=True, max_length=500)


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
    project, user = project_of(request, slug, Membership.Role.ANNOTATOR), user_of(request)
    sent = valid(NewSkipSerializer(data=request.data))
    task = held_task(user, project, sent["claim"])
    try:
        skip_task(
            assignment=task, annotator=user, reason=sent["reason"], note=sent["note"], now=timezone.now()
        )
    except SkipsUsedUp as error:
        raise Conflict(str(error)) from None
    except NotSkippable:
        raise Conflict("Training and test are answered on the project's pages.") from None
    except LeaseLost:
        raise Conflict("This task was answered already.") from None
    return Response(status=status.HTTP_204_NO_CONTENT)

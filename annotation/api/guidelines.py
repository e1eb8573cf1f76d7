"""The guideline over the API: read it, and say that it was read."""

from __future__ import annotations

from typing import Any

from django.http import Http404
from django.shortcuts import get_object_or_404
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.decorators import api_view
from rest_framework.request import Request
from rest_framework.response import Response

from annotation.api.requests import user_of, valid
from annotation.selectors.assignments.standings import Standing, standing_in
from annotation.services.projects.projects import acknowledge


class GuidelineSerializer(serializers.Serializer[Any]):
    version = serializers.IntegerField()
    text = serializers.CharField(help_text="Markdown")
    created_at = serializers.DateTimeField()
    is_acknowledged = serializers.BooleanField(help_text="by you")


class AcknowledgementSerializer(serializers.Serializer[Any]):
    version = serializers.IntegerField(min_value=1, max_value=2**31 - 1)


@extend_schema(methods=["GET"], responses=GuidelineSerializer)
@extend_schema(methods=["POST"], request=AcknowledgementSerializer, responses=GuidelineSerializer)
@api_view(["GET", "POST"])
def guideline(request: Request, slug: str) -> Response:
    """The newest version; or record that you have read the version named."""
    standing = _standing(request, slug)
    if request.method == "POST":
        version = valid(AcknowledgementSerializer(data=request.data))["version"]
        read = get_object_or_404(standing.project.guidelines, version=version)
        acknowledge(guideline=read, user=user_of(request))
        standing = _standing(request, slug)
    told = {
        "version": standing.guideline.version,
        "text": standing.guideline.text,
        "created_at": standing.guideline.created_at,
        "is_acknowledged": not standing.is_reading_due,
    }
    return Response(GuidelineSerializer(told).data)


def _standing(request: Request, slug: str) -> Standing:
    """Raises: Http404 for people without a part in the project's work."""
    standing = standing_in(slug, user_of(request))
    if standing is None:
        raise Http404
    return standing

"""Whether people prefer images for where they stand on the page, over the API."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.decorators import api_view
from rest_framework.request import Request
from rest_framework.response import Response

from annotation.access import Do
from annotation.api.agreement import FigureSerializer
from annotation.api.requests import project_of
from annotation.selectors.results.positions import position_figures


class PositionSerializer(serializers.Serializer[Any]):
    position = serializers.IntegerField(help_text="on the page, from 1 in the order shown")
    images = serializers.IntegerField(help_text="of accepted rankings whose order on the page is known")
    preferred = FigureSerializer(
        help_text="share of their pairs that these images win, a tie as half; 0.5 where places do not matter"
    )
    bias = serializers.IntegerField(
        allow_null=True,
        help_text="1: the interval is above 0.5, -1: below, 0: it contains 0.5; null: too little data",
    )


@extend_schema(responses=PositionSerializer(many=True))
@api_view(["GET"])
def positions(request: Request, slug: str) -> Response:
    """How often the images at each place on the page win. For inspectors, researchers and admins."""
    figures = position_figures(project_of(request, slug, Do.STUDY))
    return Response(PositionSerializer(figures, many=True).data)

"""Images over the API: files for members, rows and adding images for admins."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.conf import settings
from django.http.response import HttpResponseBase
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework import serializers, status
from rest_framework.decorators import api_view, parser_classes
from rest_framework.parsers import MultiPartParser
from rest_framework.request import Request
from rest_framework.response import Response

from annotation.api.requests import (
    Conflict,
    page_of,
    paged,
    project_of,
    stays_in_scope,
    user_of,
    valid,
)
from annotation.api.serializers import GenerationSerializer
from annotation.bodies import takes_files
from annotation.image_files import image_response
from annotation.json_values import DEEPEST, why_not_storable
from annotation.models import Generation, Prompt
from annotation.models.prompts import GENERATOR_LENGTH, KEY_LENGTH, SOURCE_LENGTH
from annotation.services.projects.images import ImageRefused
from annotation.services.projects.prompts import ImagesRefused, NewImage, add_generations


class ImageSerializer(GenerationSerializer):
    prompt_id = serializers.CharField(source="prompt.key")


class StorableJSONField(serializers.JSONField):
    """JSON in a field of a form, refused as a JSON body is."""

    def to_internal_value(self, data: Any) -> Any:
        try:
            value = super().to_internal_value(data)
        except RecursionError:
            raise serializers.ValidationError(f"It has more than {DEEPEST} levels.") from None
        if reason := why_not_storable(value):
            raise serializers.ValidationError(f"It has {reason}.")
        return value


class NewImageSerializer(serializers.Serializer[Any]):
    prompt_id = serializers.CharField(max_length=KEY_LENGTH)
    file = serializers.FileField(help_text="PNG, JPEG or WebP; kept without its metadata")
    name = serializers.CharField(
        max_length=SOURCE_LENGTH, help_text="names it within its prompt; exports give it back"
    )
    generator = serializers.CharField(max_length=GENERATOR_LENGTH, default="", allow_blank=True)
    seed = serializers.IntegerField(min_value=-(2**63), max_value=2**63 - 1, default=None, allow_null=True)
    parameters = StorableJSONField(default=dict)
    flagged = serializers.BooleanField(
        default=False, help_text="may be harmful: blurred until somebody wants to see it"
    )

    def validate_parameters(self, parameters: Any) -> dict[str, Any]:
        if not isinstance(parameters, dict):
            raise serializers.ValidationError("This is no JSON object.")
        return parameters


@extend_schema(responses={(200, "image/*"): OpenApiTypes.BINARY})
@stays_in_scope
@api_view(["GET"])
def image(request: Request, token: UUID) -> HttpResponseBase:
    """The file, for members of a project that shows it."""
    return image_response(request._request, user=user_of(request), token=token)


@takes_files(settings.IMAGE_MAX_BYTES)
@extend_schema(
    methods=["GET"],
    parameters=[
        OpenApiParameter("prompt_id"),
        OpenApiParameter("generator"),
    ],
    responses=ImageSerializer(many=True),
)
@extend_schema(
    methods=["POST"],
    request={"multipart/form-data": NewImageSerializer},
    responses={
        201: ImageSerializer,
        200: OpenApiResponse(ImageSerializer, description="The prompt has it already."),
        409: OpenApiResponse(description="The name is another image's, or no more can be placed."),
    },
)
@paged
@api_view(["GET", "POST"])
@parser_classes([MultiPartParser])
def images(request: Request, slug: str) -> Response:
    """The project's images with generator and score; or add one. For its admins."""
    project = project_of(request, slug)
    if request.method == "POST":
        fields = valid(NewImageSerializer(data=request.data))
        prompt = project.prompts.select_related("project").filter(key=fields["prompt_id"]).first()
        if prompt is None:
            raise serializers.ValidationError({"prompt_id": ["The project has no prompt of this id."]})
        return _add(request, prompt, fields)
    rows = Generation.objects.collected().filter(prompt__project=project).select_related("prompt", "image")
    for name, column in (("prompt_id", "prompt__key"), ("generator", "generator")):
        if (value := request.query_params.get(name)) is not None:
            rows = rows.filter(**{column: value})
    return page_of(request, rows, ImageSerializer)


def _add(request: Request, prompt: Prompt, fields: dict[str, Any]) -> Response:
    new = NewImage(
        fields["file"].read(),
        fields["name"],
        fields["generator"],
        fields["seed"],
        fields["parameters"],
        fields["flagged"],
    )
    try:
        added = add_generations(prompt=prompt, images=[new], by=user_of(request))
    except ImageRefused as error:
        raise serializers.ValidationError({"file": [str(error)]}) from None
    except ImagesRefused as error:
        raise Conflict(str(error)) from None
    generation = prompt.generations.select_related("prompt", "image").get(source=new.source)
    representation = ImageSerializer(generation, context={"request": request})
    return Response(representation.data, status=status.HTTP_201_CREATED if added else status.HTTP_200_OK)

"""`POST /api/v1/scores`: images scored for their prompts by a project's promoted reward model."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from typing import Any

from django.conf import settings
from django.http import QueryDict
from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework import serializers, status
from rest_framework.decorators import api_view, parser_classes
from rest_framework.exceptions import APIException
from rest_framework.parsers import MultiPartParser
from rest_framework.request import Request
from rest_framework.response import Response

from annotation.access import Do
from annotation.api.parsers import JSONParser
from annotation.api.requests import Conflict, changes_nothing, project_of, stays_in_scope, valid
from annotation.bodies import takes_files
from annotation.models import Generation, Project
from rewardmodel.scoring import client_socket, score_with_promoted
from rewardmodel.selectors import NothingPromoted
from rewardmodel.serving.client import ClientGone, ImagesUnreadable, ModelBroken, Unavailable

RETRY_SECONDS = 2
CLIENT_GONE = 499  # nobody reads it but the log
PROMPT_LENGTH = 20_000


class TooLarge(APIException):
    status_code = status.HTTP_413_REQUEST_ENTITY_TOO_LARGE


class NotNow(APIException):
    """No scores at the moment; ask again."""

    status_code = status.HTTP_503_SERVICE_UNAVAILABLE
    wait = RETRY_SECONDS  # becomes the header Retry-After


class CannotRead(APIException):
    """Some images are no images."""

    status_code = status.HTTP_422_UNPROCESSABLE_ENTITY


class ImageToScoreSerializer(serializers.Serializer[Any]):
    data = serializers.CharField(  # type: ignore[assignment]  # a field, no attribute of this one
        required=False, allow_blank=True, help_text="a PNG, JPEG or WebP file in base64, or a data: URL"
    )
    generation = serializers.IntegerField(required=False, help_text="or an image of the project, by its id")
    prompt = serializers.CharField(
        required=False,
        max_length=PROMPT_LENGTH,
        help_text="default: the request's; for a generation, its own",
    )

    def validate_data(self, data: str) -> bytes:
        try:
            return base64.b64decode(
                data.partition(",")[2] if data.startswith("data:") else data, validate=True
            )
        except (binascii.Error, ValueError):
            raise serializers.ValidationError("This is no base64.") from None

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if ("data" in attrs) == ("generation" in attrs):
            raise serializers.ValidationError("Either data or a generation.")
        return attrs


class ScoresQuestionSerializer(serializers.Serializer[Any]):
    """What may be sent as JSON."""

    project = serializers.CharField(help_text="its slug")
    prompt = serializers.CharField(required=False, max_length=PROMPT_LENGTH, help_text="of all images")
    images = ImageToScoreSerializer(many=True, allow_empty=False)


class ScoresUploadSerializer(serializers.Serializer[Any]):
    """What may be sent as a form: one prompt for all files, or one for each in order."""

    project = serializers.CharField(help_text="its slug")
    prompt = serializers.ListField(child=serializers.CharField(max_length=PROMPT_LENGTH), allow_empty=False)
    images = serializers.ListField(child=serializers.FileField(allow_empty_file=True), allow_empty=False)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if len(attrs["prompt"]) not in (1, len(attrs["images"])):
            raise serializers.ValidationError({"prompt": ["Either one for all images, or one for each."]})
        return attrs


class ScoreSerializer(serializers.Serializer[Any]):
    score = serializers.FloatField(help_text="no unit; on the model's validation images mean 0, deviation 1")
    percentile = serializers.FloatField(
        allow_null=True,
        help_text="0 to 100, share of the model's validation images with a lower score; null: not known",
    )
    preferred = serializers.FloatField(
        allow_null=True,
        help_text="0 to 1, how probably people prefer it to `over`; null: not known",
    )
    rank = serializers.IntegerField(help_text="among the images of the same prompt, 1 is best")
    truncated = serializers.BooleanField(help_text="the prompt is longer than the model reads")


class ScoresSerializer(serializers.Serializer[Any]):
    checkpoint = serializers.CharField(help_text="name of the promoted reward model")
    over = serializers.CharField(help_text="what the images are compared with; empty: not known")
    scores = ScoreSerializer(many=True, help_text="in the order of the images")


@takes_files(settings.SCORES_MAX_BYTES)
@extend_schema(
    request={"application/json": ScoresQuestionSerializer, "multipart/form-data": ScoresUploadSerializer},
    responses={
        200: ScoresSerializer,
        409: OpenApiResponse(description="No reward model is promoted, or it is broken."),
        413: OpenApiResponse(description="Too many images or bytes."),
        422: OpenApiResponse(description="Some images are no images: index -> why, as in a 400."),
        503: OpenApiResponse(description="No scorer runs or all are busy: ask again after Retry-After."),
    },
)
@changes_nothing
@stays_in_scope
@api_view(["POST"])
@parser_classes([MultiPartParser, JSONParser])
def scores(request: Request) -> Response:
    """Score images for their prompts with the promoted reward model. For researchers and admins."""
    if int(request.META.get("CONTENT_LENGTH") or 0) > settings.SCORES_MAX_BYTES:
        raise TooLarge(f"A request has at most {settings.SCORES_MAX_BYTES:,} bytes.")
    project, prompts, files = _read_request(request)
    try:
        scored = score_with_promoted(
            project=project, prompts=prompts, files=files, client=client_socket(request.META)
        )
    except (NothingPromoted, ModelBroken) as error:
        raise Conflict(str(error)) from None
    except ImagesUnreadable as error:
        raise CannotRead({"images": {str(i): [why] for i, why in error.reasons.items()}}) from None
    except Unavailable as error:
        raise NotNow(str(error)) from None
    except ClientGone:
        return Response(status=CLIENT_GONE)
    return Response(ScoresSerializer(scored).data)


def _read_request(request: Request) -> tuple[Project, list[str], list[bytes]]:
    """Return the project, and each image's prompt and file."""
    if isinstance(request.data, QueryDict):
        sent = valid(ScoresUploadSerializer(data=request.data))
        project = project_of(request, sent["project"], Do.RESEARCH)
        _check_number(sent["images"])
        texts = sent["prompt"] if len(sent["prompt"]) > 1 else sent["prompt"] * len(sent["images"])
        return project, texts, [file.read() for file in sent["images"]]
    sent = valid(ScoresQuestionSerializer(data=request.data))
    project = project_of(request, sent["project"], Do.RESEARCH)
    images = sent["images"]
    _check_number(images)
    generations = _generations(project, [image["generation"] for image in images if "generation" in image])
    texts, wrong = [], {}
    for index, image in enumerate(images):
        generation = generations.get(image.get("generation"))
        text = image.get("prompt") or sent.get("prompt") or (generation and generation.prompt.text)
        if "generation" in image and generation is None:
            wrong[str(index)] = ["The project has no such image."]
        elif not text:
            wrong[str(index)] = ["There is no prompt for it."]
        texts.append(text or "")
    if wrong:
        raise serializers.ValidationError({"images": wrong})
    rows = [image["data"] if "data" in image else generations[image["generation"]] for image in images]
    _check_bytes(rows)
    files = [row if isinstance(row, bytes) else _file(row) for row in rows]
    return project, texts, files


def _check_bytes(images: Sequence[bytes | Generation]) -> None:
    """A request of a few bytes may name images of gigabytes."""
    sizes = [len(one) if isinstance(one, bytes) else one.image.bytes if one.image else 0 for one in images]
    if sum(sizes) > settings.SCORES_MAX_BYTES:
        raise TooLarge(f"The images of a request have at most {settings.SCORES_MAX_BYTES:,} bytes.")


def _check_number(images: Sequence[object]) -> None:
    if len(images) > settings.SCORES_MAX_IMAGES:
        raise TooLarge(f"A request has at most {settings.SCORES_MAX_IMAGES} images.")


def _generations(project: Project, ids: Sequence[int]) -> dict[int | None, Generation]:
    rows = Generation.objects.filter(prompt__project=project, pk__in=ids).select_related("prompt", "image")
    return {row.pk: row for row in rows}


def _file(generation: Generation) -> bytes:
    """Nothing where it was never had, or is gone: that is no image."""
    if generation.image is None:
        return b""
    try:
        with generation.image.file.open() as file:
            content: bytes = file.read()
            return content
    except FileNotFoundError:
        return b""

"""Files of prompts and images over the API, for admins: sent, watched, called off and tried again."""

from __future__ import annotations

from typing import Any

from django.shortcuts import get_object_or_404
from django.utils.timezone import now
from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework import serializers, status
from rest_framework.decorators import api_view, parser_classes
from rest_framework.parsers import MultiPartParser
from rest_framework.request import Request
from rest_framework.response import Response

from annotation.api.forms import filled_by
from annotation.api.requests import Conflict, page_of, paged, project_of, user_of, valid
from annotation.bodies import takes_files
from annotation.forms.exports import MaterialForm
from annotation.jobs import JobLost
from annotation.models import Upload
from annotation.services.imports import ImportRefused, cancel_import, request_import, retry_import
from annotation.services.imports.archives import MOST_BYTES
from annotation.tasks import wake_import


class NewUploadSerializer(serializers.Serializer[Any]):
    material = serializers.FileField(help_text="as the page *Prompts* takes it; its name says what it is")


class UploadSerializer(serializers.Serializer[Any]):
    id = serializers.IntegerField()
    name = serializers.CharField()
    bytes = serializers.IntegerField()
    state = serializers.ChoiceField(choices=Upload.State.choices)
    done = serializers.IntegerField(help_text="prompts or images read so far")
    summary = serializers.CharField(help_text="what it brought, once it is finished")
    error = serializers.CharField(help_text="why it failed; then nothing of it was imported")
    requested_by = serializers.CharField(source="requested_by.username")
    created_at = serializers.DateTimeField()
    finished_at = serializers.DateTimeField(allow_null=True)


@takes_files(MOST_BYTES)
@extend_schema(methods=["GET"], responses=UploadSerializer(many=True))
@extend_schema(
    methods=["POST"], request={"multipart/form-data": NewUploadSerializer}, responses={202: UploadSerializer}
)
@paged
@api_view(["GET", "POST"])
@parser_classes([MultiPartParser])
def uploads(request: Request, slug: str) -> Response:
    """The files sent so far, newest first; or send one, which a worker imports, whole or not at all."""
    project = project_of(request, slug)
    if request.method == "GET":
        return page_of(request, project.uploads.select_related("requested_by"), UploadSerializer)
    sent = valid(NewUploadSerializer(data=request.data))
    form = filled_by(MaterialForm, {}, files=sent)
    try:
        upload = request_import(
            project=project, file=form.cleaned_data["material"], by=user_of(request), now=now()
        )
    except ImportRefused as error:
        raise serializers.ValidationError({"material": [str(error)]}) from None
    wake_import(upload)
    return Response(UploadSerializer(upload).data, status=status.HTTP_202_ACCEPTED)


@extend_schema(methods=["GET"], responses=UploadSerializer)
@extend_schema(
    methods=["DELETE"],
    responses={202: UploadSerializer, 409: OpenApiResponse(description="It is over: nothing to call off.")},
)
@api_view(["GET", "DELETE"])
def upload(request: Request, slug: str, pk: int) -> Response:
    """How far the import is; or call it off, so that nothing of the file is imported."""
    row = _upload(request, slug, pk)
    if request.method == "GET":
        return Response(UploadSerializer(row).data)
    try:
        cancel_import(row, by=user_of(request), now=now())
    except JobLost:
        raise Conflict("It is over.") from None
    return Response(UploadSerializer(row).data, status=status.HTTP_202_ACCEPTED)


@extend_schema(
    request=None,
    responses={
        202: UploadSerializer,
        409: OpenApiResponse(description="It did not fail, or its file is gone: send it again."),
    },
)
@api_view(["POST"])
def retry(request: Request, slug: str, pk: int) -> Response:
    """Import a file that failed once more, as what was in its way may be mended now."""
    row = _upload(request, slug, pk)
    try:
        retry_import(row, by=user_of(request))
    except JobLost as error:
        raise Conflict(str(error)) from None
    wake_import(row)
    return Response(UploadSerializer(row).data, status=status.HTTP_202_ACCEPTED)


def _upload(request: Request, slug: str, pk: int) -> Upload:
    return get_object_or_404(project_of(request, slug).uploads.select_related("requested_by"), pk=pk)

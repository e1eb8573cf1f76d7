"""Files of prompts, images or rankings over the API, for admins: sent, watched, cancelled, tried again."""

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

from annotation.api.forms import FormSerializer, fields_of, filled_by
from annotation.api.requests import Conflict, page_of, paged, project_of, user_of, valid
from annotation.bodies import takes_files
from annotation.forms.imports import MaterialForm, RankingsForm
from annotation.jobs import JobLost
from annotation.models import Upload
from annotation.services.imports import ImportRefused, cancel_import, request_import, retry_import
from annotation.services.imports.archives import MOST_BYTES
from annotation.tasks import wake_import


class NewUploadSerializer(FormSerializer):
    """A file, under one of two names, and how rankings are read."""

    material = serializers.FileField(
        required=False,
        help_text="prompts or images, as the page *Prompts* takes them; its name says what it is",
    )
    rankings = serializers.FileField(required=False, help_text="rankings, as that page takes them")

    def get_fields(self) -> dict[str, Any]:
        return super().get_fields() | fields_of(RankingsForm, without=["rankings"])

    def validate(self, values: dict[str, Any]) -> dict[str, Any]:
        if ("material" in values) == ("rankings" in values):
            raise serializers.ValidationError({"material": "Send a file of `material` or one of `rankings`."})
        if "material" in values and len(values) > 1:
            name = next(name for name in values if name != "material")
            raise serializers.ValidationError({name: "Goes with `rankings` alone."})
        return values


class UploadSerializer(serializers.Serializer[Any]):
    id = serializers.IntegerField()
    name = serializers.CharField()
    bytes = serializers.IntegerField()
    state = serializers.ChoiceField(choices=Upload.State.choices)
    kind = serializers.ChoiceField(
        choices=[("material", "prompts or images"), ("rankings", "rankings")], help_text="what it was sent as"
    )
    done = serializers.IntegerField(help_text="prompts, images or rankings read so far")
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
    name = "rankings" if "rankings" in sent else "material"
    files, options = {name: sent.pop(name)}, None
    if name == "rankings":
        form = filled_by(RankingsForm, sent, files=files)
        file, options = form.cleaned_data[name], form.options()
    else:
        file = filled_by(MaterialForm, {}, files=files).cleaned_data[name]
    try:
        upload = request_import(project=project, file=file, by=user_of(request), now=now(), rankings=options)
    except ImportRefused as error:
        raise serializers.ValidationError({name: [str(error)]}) from None
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

"""Exports over the API, for a project's admins: requesting, watching, downloading and deleting them."""

from __future__ import annotations

from typing import Any

from django.http import Http404, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import get_object_or_404
from django.utils.timezone import now
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework import serializers, status
from rest_framework.decorators import api_view
from rest_framework.request import Request
from rest_framework.response import Response

from annotation.api.requests import Conflict, page_of, paged, project_of, user_of, valid
from annotation.api.serializers import RankingSerializer
from annotation.downloads import file_response
from annotation.jobs import JobLost
from annotation.models import Export
from annotation.selectors.exports import Selection
from annotation.services.exports import FORMATS, cancel_export, delete_export, request_export
from annotation.services.exports.formats import imagereward
from annotation.tasks import wake


class NewExportSerializer(serializers.Serializer[Any]):
    format = serializers.ChoiceField(choices=sorted(FORMATS))
    with_images = serializers.BooleanField(default=True)
    accepted_after = serializers.DateTimeField(default=None, allow_null=True)
    accepted_until = serializers.DateTimeField(default=None, allow_null=True)


class ExportSerializer(serializers.Serializer[Any]):
    id = serializers.IntegerField()
    format = serializers.CharField()
    with_images = serializers.BooleanField()
    accepted_after = serializers.DateTimeField(allow_null=True)
    accepted_until = serializers.DateTimeField()
    state = serializers.CharField()
    rankings = serializers.IntegerField(help_text="written so far")
    rankings_wanted = serializers.IntegerField(help_text="0: not counted yet")
    pairs = serializers.IntegerField(help_text="pairs of images in different slots")
    ties = serializers.IntegerField(help_text="pairs in the same slot")
    bytes = serializers.IntegerField(allow_null=True)
    sha256 = serializers.CharField()
    error = serializers.CharField()
    leaves_out = serializers.SerializerMethodField(help_text="what the format has no place for")
    created_at = serializers.DateTimeField()
    finished_at = serializers.DateTimeField(allow_null=True)

    def get_leaves_out(self, export: Export) -> list[str]:
        return list(FORMATS[export.format].leaves_out) if export.format in FORMATS else []


@extend_schema(methods=["GET"], responses=ExportSerializer(many=True))
@extend_schema(methods=["POST"], request=NewExportSerializer, responses={202: ExportSerializer})
@paged
@api_view(["GET", "POST"])
def exports(request: Request, slug: str) -> Response:
    """The project's exports, newest first; or a new one, which a worker writes."""
    project = project_of(request, slug)
    if request.method == "POST":
        fields = valid(NewExportSerializer(data=request.data))
        new = request_export(
            project=project,
            by=user_of(request),
            now=now(),
            format=fields["format"],
            with_images=fields["with_images"],
            after=fields["accepted_after"],
            until=fields["accepted_until"],
        )
        wake(new)
        return Response(ExportSerializer(new).data, status=status.HTTP_202_ACCEPTED)
    return page_of(request, project.exports.all(), ExportSerializer)


@extend_schema(methods=["GET"], responses=ExportSerializer)
@extend_schema(methods=["DELETE"], responses={204: None})
@api_view(["GET", "DELETE"])
def export(request: Request, slug: str, pk: int) -> Response:
    """How far the export is; or remove it, with its file. One at work is told to stop first: 409."""
    row = get_object_or_404(project_of(request, slug).exports, pk=pk)
    if request.method == "GET":
        return Response(ExportSerializer(row).data)
    try:
        if not row.is_over:
            cancel_export(row, by=user_of(request), now=now())
        delete_export(row, by=user_of(request))
    except JobLost:
        raise Conflict("The export is at work and was asked to stop: delete it when it has.") from None
    return Response(status=status.HTTP_204_NO_CONTENT)


@extend_schema(
    parameters=[OpenApiParameter("Range", OpenApiTypes.STR, OpenApiParameter.HEADER)],
    responses={
        (200, "application/zip"): OpenApiTypes.BINARY,
        (206, "application/zip"): OpenApiTypes.BINARY,
        416: OpenApiResponse(description="The file has no such bytes."),
    },
)
@api_view(["GET"])
def file(request: Request, slug: str, pk: int) -> HttpResponseBase:
    """The finished export's archive, or the bytes of it that `Range` asks for."""
    row = get_object_or_404(project_of(request, slug).exports, pk=pk, state=Export.State.FINISHED)
    try:
        return file_response(request, file=row.file, sha256=row.sha256)
    except FileNotFoundError:
        raise Http404 from None


@extend_schema(responses=RankingSerializer(many=True))
@api_view(["GET"])
def rankings(request: Request, slug: str) -> StreamingHttpResponse:
    """Every accepted ranking as ImageReward's JSON, streamed as it is now."""
    items = imagereward.stream(Selection(project_of(request, slug), until=now()))
    return StreamingHttpResponse(items, content_type="application/json")

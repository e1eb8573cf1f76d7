"""Endpoints over the same services as the pages, for admins of the project; another's project is 404."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from django.shortcuts import get_object_or_404
from django.urls import path
from drf_spectacular.utils import extend_schema
from rest_framework import serializers, status
from rest_framework.decorators import api_view
from rest_framework.exceptions import APIException
from rest_framework.pagination import LimitOffsetPagination
from rest_framework.request import Request
from rest_framework.response import Response

from annotation.models import Membership, Project, User
from rewardmodel.models import DatasetVersion, RewardCheckpoint, TrainingRun
from rewardmodel.selectors import NothingRegistered
from rewardmodel.services.datasets import NothingToFreeze
from rewardmodel.services.training import NotTrainable, queue_training
from rewardmodel.tasks import wake


class Refused(APIException):
    """What was asked cannot be done as things stand."""

    status_code = status.HTTP_409_CONFLICT


class DatasetSerializer(serializers.Serializer[Any]):
    hash = serializers.CharField()
    counts = serializers.DictField(help_text="split -> rankings, pairs, ties, prompts, images")
    shares = serializers.DictField(child=serializers.FloatField())
    answers = serializers.IntegerField(help_text="finished rankings there were")
    left_out = serializers.IntegerField(help_text="of these, rankings whose images are not at hand")
    newest_answer = serializers.DateTimeField(allow_null=True)
    ceiling = serializers.FloatField(allow_null=True, help_text="people's own accuracy, where known")
    created_at = serializers.DateTimeField()


class CheckpointSerializer(serializers.Serializer[Any]):
    name = serializers.CharField()
    location = serializers.CharField(help_text="what rewardmodel.learning.load takes")
    run = serializers.IntegerField(source="run_id", allow_null=True)
    metrics = serializers.DictField(help_text="empty until it was evaluated")
    promoted = serializers.BooleanField()
    promoted_at = serializers.DateTimeField(allow_null=True)
    created_at = serializers.DateTimeField()


class RunSerializer(serializers.Serializer[Any]):
    """What every kind of run has."""

    id = serializers.IntegerField()
    state = serializers.CharField()
    step = serializers.IntegerField()
    steps = serializers.IntegerField()
    config = serializers.DictField()
    error = serializers.CharField()
    seconds = serializers.FloatField()
    peak_memory = serializers.IntegerField(allow_null=True, help_text="bytes")
    created_at = serializers.DateTimeField()
    started_at = serializers.DateTimeField(allow_null=True)
    finished_at = serializers.DateTimeField(allow_null=True)


class TrainingRunSerializer(RunSerializer):
    dataset = serializers.CharField(source="dataset.hash")
    initial = serializers.CharField(source="initial.name")


class MeasurementSerializer(serializers.Serializer[Any]):
    step = serializers.IntegerField()
    values = serializers.DictField(child=serializers.FloatField())


class MeasuredRunSerializer(TrainingRunSerializer):
    points = MeasurementSerializer(many=True)


class NewTrainingRunSerializer(serializers.Serializer[Any]):
    dataset = serializers.CharField(required=False, help_text="hash; default: freeze what is finished now")
    initial = serializers.CharField(required=False, help_text="default: the checkpoint registered last")
    config = serializers.DictField(required=False, help_text="fields of RewardConfig; default: the policy's")


@extend_schema(responses=DatasetSerializer(many=True))
@api_view(["GET"])
def datasets(request: Request, slug: str) -> Response:
    """The project's frozen datasets, the newest first."""
    found = DatasetVersion.objects.filter(project=project_of(request, slug))
    return page_of(request, found, DatasetSerializer)


@extend_schema(responses=CheckpointSerializer(many=True))
@api_view(["GET"])
def checkpoints(request: Request, slug: str) -> Response:
    """The project's reward models, the newest first."""
    found = RewardCheckpoint.objects.filter(project=project_of(request, slug)).select_related("run")
    return page_of(request, found, CheckpointSerializer)


@extend_schema(methods=["GET"], responses=TrainingRunSerializer(many=True))
@extend_schema(methods=["POST"], request=NewTrainingRunSerializer, responses={201: TrainingRunSerializer})
@api_view(["GET", "POST"])
def training_runs(request: Request, slug: str) -> Response:
    """The training runs, the newest first; or a new one."""
    project = project_of(request, slug)
    if request.method == "GET":
        found = TrainingRun.objects.filter(project=project).select_related("dataset", "initial")
        return page_of(request, found, TrainingRunSerializer)
    form = NewTrainingRunSerializer(data=request.data)
    form.is_valid(raise_exception=True)
    asked = form.validated_data
    try:
        run = queue_training(
            project=project,
            dataset=named(DatasetVersion.objects.all(), project, "hash", asked.get("dataset")),
            initial=named(RewardCheckpoint.objects.all(), project, "name", asked.get("initial")),
            config=asked.get("config"),
        )
    except (NotTrainable, NothingToFreeze, NothingRegistered) as error:
        raise Refused(str(error)) from None
    wake(run)
    return Response(TrainingRunSerializer(run).data, status=status.HTTP_201_CREATED)


@extend_schema(responses=MeasuredRunSerializer)
@api_view(["GET"])
def training_run(request: Request, slug: str, pk: int) -> Response:
    """One training run, with what it measured at each step."""
    run = get_object_or_404(TrainingRun, project=project_of(request, slug), pk=pk)
    return Response(MeasuredRunSerializer(run).data)


def page_of(
    request: Request, found: QuerySet[Any], serializer: type[serializers.Serializer[Any]]
) -> Response:
    """The rows that the query's limit and offset ask for."""
    pages = LimitOffsetPagination()
    page = pages.paginate_queryset(found, request)
    return pages.get_paginated_response(serializer(page, many=True).data)


def named(rows: QuerySet[Any], project: Project, field: str, value: str | None) -> Any:
    """The project's row with that value; None when none is asked for. Raises: ValidationError."""
    if value is None:
        return None
    found = rows.filter(project=project, **{field: value}).first()
    if found is None:
        raise serializers.ValidationError(f"{project.slug} has no {rows.model._meta.verbose_name} {value!r}")
    return found


def project_of(request: Request, slug: str) -> Project:
    """The project, if the one who asks is its admin; else 404."""
    assert isinstance(request.user, User)  # permissions let only signed-in people this far
    mine = Project.objects.with_role(request.user, Membership.Role.ADMIN)
    return get_object_or_404(mine, slug=slug)


urlpatterns = [
    path("projects/<slug:slug>/datasets/", datasets, name="api-datasets"),
    path("projects/<slug:slug>/checkpoints/", checkpoints, name="api-checkpoints"),
    path("projects/<slug:slug>/training-runs/", training_runs, name="api-training-runs"),
    path("projects/<slug:slug>/training-runs/<int:pk>/", training_run, name="api-training-run"),
]

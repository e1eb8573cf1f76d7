"""Endpoints over the same services as the pages, for admins of the project; another's project is 404."""

from __future__ import annotations

import random
from typing import Any

from django.http import HttpResponse
from django.urls import path
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.decorators import api_view
from rest_framework.request import Request
from rest_framework.response import Response

from annotation.api.requests import page_of, paged, project_of
from annotation.models import Project, User
from refl.models import Generator, SamplingRun, TuningRun
from refl.selectors.generators import NoGenerator
from refl.services.sampling import MAX_BEST_OF, CannotSample, queue_sampling
from refl.services.tuning import CannotTune, queue_tuning
from rewardmodel.api.serializers import MeasurementSerializer, RunSerializer
from rewardmodel.models import RewardCheckpoint
from rewardmodel.runs.api import RunRequest, download_run_curves, find_row, list_or_queue, read_run
from rewardmodel.selectors import NothingPromoted, promoted_checkpoint


class GeneratorSerializer(serializers.Serializer[Any]):
    name = serializers.CharField()
    pipeline = serializers.CharField(source="location", help_text="a folder or hub id")
    is_seen = serializers.BooleanField(help_text="false of a hub id that nothing has looked up or loaded yet")
    loras = serializers.ListField(
        child=serializers.CharField(), help_text="files over the pipeline, in order"
    )
    tuned_from = serializers.CharField(source="parent.name", default=None)
    tuning = serializers.IntegerField(source="run_id", allow_null=True, help_text="the run that made it")
    kept = serializers.BooleanField(allow_null=True, help_text="null until it was judged")
    reason = serializers.CharField()
    metrics = serializers.DictField(
        help_text="tuned_on, and held_out by name: change of each reward on held-out prompts, with its "
        "interval; guards: where they stopped the run, by which alarm, and which update was kept; "
        "its `sentence` says so in words"
    )
    steps = serializers.IntegerField()
    guidance_scale = serializers.FloatField()
    created_at = serializers.DateTimeField()


class GeneratorRunSerializer(RunSerializer):
    generator = serializers.CharField(source="generator.name")
    checkpoint = serializers.CharField(source="checkpoint.name", default=None)


class TuningSerializer(GeneratorRunSerializer):
    points = MeasurementSerializer(many=True)


class NewTuningSerializer(serializers.Serializer[Any]):
    generator = serializers.CharField(required=False, help_text="default: the newest kept one")
    checkpoint = serializers.CharField(required=False, help_text="default: the promoted one")
    config = serializers.DictField(required=False, help_text="fields of TuningConfig; default: the policy's")


class NewSamplingSerializer(serializers.Serializer[Any]):
    generator = serializers.CharField()
    per_prompt = serializers.IntegerField(min_value=1)
    prompts = serializers.IntegerField(min_value=1, required=False, help_text="default: all without images")
    least_sure = serializers.BooleanField(
        default=False, help_text="let the promoted reward model choose the prompts, by the project's rule"
    )
    pool_factor = serializers.IntegerField(min_value=1, default=4)
    best_of = serializers.IntegerField(
        min_value=1,
        max_value=MAX_BEST_OF,
        default=1,
        help_text="candidates of each image; the one that the promoted reward model likes best is kept",
    )


@extend_schema(responses=GeneratorSerializer(many=True))
@paged
@api_view(["GET"])
def generators(request: Request, slug: str) -> Response:
    """The project's generators, the newest first."""
    rows = Generator.objects.filter(project=project_of(request, slug)).select_related("parent", "run")
    return page_of(request, rows, GeneratorSerializer)


def _queue_tuning(project: Project, by: User, fields: dict[str, Any]) -> TuningRun:
    return queue_tuning(
        project=project,
        generator=find_row(Generator.objects.all(), project, "name", fields.get("generator")),
        checkpoint=find_row(RewardCheckpoint.objects.all(), project, "name", fields.get("checkpoint")),
        config=fields.get("config"),
        by=by,
    )


def _queue_sampling(project: Project, by: User, fields: dict[str, Any]) -> SamplingRun:
    generator = find_row(Generator.objects.all(), project, "name", fields["generator"])
    return queue_sampling(
        generator=generator,
        per_prompt=fields["per_prompt"],
        prompts=fields.get("prompts"),
        checkpoint=promoted_checkpoint(project) if fields["least_sure"] else None,
        pool_factor=fields["pool_factor"],
        best_of=fields["best_of"],
        best_by=promoted_checkpoint(project) if fields["best_of"] > 1 else None,
        rng=random.Random(generator.pk),
        by=by,
    )


TUNING = RunRequest(NewTuningSerializer, _queue_tuning, (CannotTune, NoGenerator, NothingPromoted))
SAMPLING = RunRequest(NewSamplingSerializer, _queue_sampling, (CannotSample, NothingPromoted))


@extend_schema(methods=["GET"], responses=GeneratorRunSerializer(many=True), operation_id="tunings_list")
@extend_schema(methods=["POST"], request=NewTuningSerializer, responses={201: GeneratorRunSerializer})
@paged
@api_view(["GET", "POST"])
def tunings(request: Request, slug: str) -> Response:
    """The tunings, the newest first; or a new one."""
    return list_or_queue(request, slug, model=TuningRun, serializer=GeneratorRunSerializer, asking=TUNING)


@extend_schema(responses=TuningSerializer)
@api_view(["GET"])
def tuning(request: Request, slug: str, pk: int) -> Response:
    """One tuning, with what it measured at each update."""
    return read_run(request, slug, pk, model=TuningRun, serializer=TuningSerializer)


@extend_schema(
    responses={(200, "text/csv"): OpenApiTypes.STR, (200, "application/json"): OpenApiTypes.OBJECT}
)
@api_view(["GET"])
def tuning_curves(request: Request, slug: str, pk: int, form: str) -> HttpResponse:
    """Every curve of one tuning: csv has a row a step, json a list of steps and values a curve."""
    return download_run_curves(request, slug, pk, form, model=TuningRun)


@extend_schema(methods=["GET"], responses=GeneratorRunSerializer(many=True), operation_id="samplings_list")
@extend_schema(methods=["POST"], request=NewSamplingSerializer, responses={201: GeneratorRunSerializer})
@paged
@api_view(["GET", "POST"])
def samplings(request: Request, slug: str) -> Response:
    """The runs that make images, the newest first; or a new one."""
    return list_or_queue(request, slug, model=SamplingRun, serializer=GeneratorRunSerializer, asking=SAMPLING)


@extend_schema(responses=GeneratorRunSerializer)
@api_view(["GET"])
def sampling(request: Request, slug: str, pk: int) -> Response:
    """One run that makes images."""
    return read_run(request, slug, pk, model=SamplingRun, serializer=GeneratorRunSerializer)


urlpatterns = [
    path("projects/<slug:slug>/generators/", generators, name="api-generators"),
    path("projects/<slug:slug>/tunings/", tunings, name="api-tunings"),
    path("projects/<slug:slug>/tunings/<int:pk>/", tuning, name="api-tuning"),
    path("projects/<slug:slug>/tunings/<int:pk>/curves.<str:form>", tuning_curves, name="api-tuning-curves"),
    path("projects/<slug:slug>/samplings/", samplings, name="api-samplings"),
    path("projects/<slug:slug>/samplings/<int:pk>/", sampling, name="api-sampling"),
]

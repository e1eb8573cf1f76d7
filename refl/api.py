"""Endpoints over the same services as the pages, for admins of the project; another's project is 404."""

from __future__ import annotations

import random
from typing import Any

from django.shortcuts import get_object_or_404
from django.urls import path
from drf_spectacular.utils import extend_schema
from rest_framework import serializers, status
from rest_framework.decorators import api_view
from rest_framework.request import Request
from rest_framework.response import Response

from refl.models import Generator, SamplingRun, TuningRun
from refl.selectors.generators import NoGenerator
from refl.services.sampling import CannotSample, queue_sampling
from refl.services.tuning import CannotTune, queue_tuning
from rewardmodel.api import MeasurementSerializer, Refused, RunSerializer, named, page_of, project_of
from rewardmodel.models import RewardCheckpoint
from rewardmodel.selectors import NothingPromoted, promoted_checkpoint
from rewardmodel.tasks import wake


class GeneratorSerializer(serializers.Serializer[Any]):
    name = serializers.CharField()
    pipeline = serializers.CharField(source="location", help_text="a folder or hub id")
    tuned_from = serializers.CharField(source="parent.name", default=None)
    tuning = serializers.IntegerField(source="run_id", allow_null=True, help_text="the run that made it")
    kept = serializers.BooleanField(allow_null=True, help_text="null until it was judged")
    reason = serializers.CharField()
    metrics = serializers.DictField(help_text="change of each reward on held-out prompts, with its interval")
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
    least_sure = serializers.BooleanField(default=False)
    pool_factor = serializers.IntegerField(min_value=1, default=4)


@extend_schema(responses=GeneratorSerializer(many=True))
@api_view(["GET"])
def generators(request: Request, slug: str) -> Response:
    """The project's generators, the newest first."""
    found = Generator.objects.filter(project=project_of(request, slug)).select_related("parent", "run")
    return page_of(request, found, GeneratorSerializer)


@extend_schema(methods=["GET"], responses=GeneratorRunSerializer(many=True), operation_id="tunings_list")
@extend_schema(methods=["POST"], request=NewTuningSerializer, responses={201: GeneratorRunSerializer})
@api_view(["GET", "POST"])
def tunings(request: Request, slug: str) -> Response:
    """The tunings, the newest first; or a new one."""
    project = project_of(request, slug)
    if request.method == "GET":
        found = TuningRun.objects.filter(project=project).select_related("generator", "checkpoint")
        return page_of(request, found, GeneratorRunSerializer)
    asked = _valid(NewTuningSerializer(data=request.data))
    try:
        run = queue_tuning(
            project=project,
            generator=named(Generator.objects.all(), project, "name", asked.get("generator")),
            checkpoint=named(RewardCheckpoint.objects.all(), project, "name", asked.get("checkpoint")),
            config=asked.get("config"),
        )
    except (CannotTune, NoGenerator, NothingPromoted) as error:
        raise Refused(str(error)) from None
    wake(run)
    return Response(GeneratorRunSerializer(run).data, status=status.HTTP_201_CREATED)


@extend_schema(responses=TuningSerializer)
@api_view(["GET"])
def tuning(request: Request, slug: str, pk: int) -> Response:
    """One tuning, with what it measured at each update."""
    run = get_object_or_404(TuningRun, project=project_of(request, slug), pk=pk)
    return Response(TuningSerializer(run).data)


@extend_schema(methods=["GET"], responses=GeneratorRunSerializer(many=True), operation_id="samplings_list")
@extend_schema(methods=["POST"], request=NewSamplingSerializer, responses={201: GeneratorRunSerializer})
@api_view(["GET", "POST"])
def samplings(request: Request, slug: str) -> Response:
    """The runs that make images, the newest first; or a new one."""
    project = project_of(request, slug)
    if request.method == "GET":
        found = SamplingRun.objects.filter(project=project).select_related("generator", "checkpoint")
        return page_of(request, found, GeneratorRunSerializer)
    asked = _valid(NewSamplingSerializer(data=request.data))
    generator = named(Generator.objects.all(), project, "name", asked["generator"])
    assert generator is not None
    try:
        run = queue_sampling(
            generator=generator,
            per_prompt=asked["per_prompt"],
            prompts=asked.get("prompts"),
            checkpoint=promoted_checkpoint(project) if asked["least_sure"] else None,
            pool_factor=asked["pool_factor"],
            chance=random.Random(generator.pk),
        )
    except (CannotSample, NothingPromoted) as error:
        raise Refused(str(error)) from None
    wake(run)
    return Response(GeneratorRunSerializer(run).data, status=status.HTTP_201_CREATED)


@extend_schema(responses=GeneratorRunSerializer)
@api_view(["GET"])
def sampling(request: Request, slug: str, pk: int) -> Response:
    """One run that makes images."""
    run = get_object_or_404(SamplingRun, project=project_of(request, slug), pk=pk)
    return Response(GeneratorRunSerializer(run).data)


def _valid(form: serializers.Serializer[Any]) -> dict[str, Any]:
    form.is_valid(raise_exception=True)
    asked: dict[str, Any] = form.validated_data
    return asked


urlpatterns = [
    path("projects/<slug:slug>/generators/", generators, name="api-generators"),
    path("projects/<slug:slug>/tunings/", tunings, name="api-tunings"),
    path("projects/<slug:slug>/tunings/<int:pk>/", tuning, name="api-tuning"),
    path("projects/<slug:slug>/samplings/", samplings, name="api-samplings"),
    path("projects/<slug:slug>/samplings/<int:pk>/", sampling, name="api-sampling"),
]

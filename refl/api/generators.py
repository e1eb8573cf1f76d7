"""Endpoints over the same services as the pages, for admins of the project; another's project is 404."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

from django.http import HttpResponse
from django.urls import path
from django.utils.timezone import now
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema
from rest_framework import serializers, status
from rest_framework.decorators import api_view
from rest_framework.exceptions import NotFound
from rest_framework.request import Request
from rest_framework.response import Response

from annotation.access import Do
from annotation.api.requests import Conflict, page_of, paged, project_of, user_of
from annotation.models import Project, User
from refl.loop.facts import read_facts
from refl.loop.history import why_of
from refl.loop.queue import cancel_step, in_words, read_loop, repeat_step, start_step
from refl.loop.step import Started, State, StepRefused
from refl.loop.steps import STEPS
from refl.models import Generator, SamplingRun, TuningRun
from refl.selectors.generators import NoGenerator
from refl.services.sampling import MAX_BEST_OF, CannotSample, queue_sampling
from refl.services.tuning import CannotTune, queue_tuning
from rewardmodel.api.serializers import MeasurementSerializer, RunSerializer
from rewardmodel.models import RewardCheckpoint
from rewardmodel.runs.api import RunRequest, download_run_curves, find_row, list_or_queue, read_run
from rewardmodel.runs.waking import wake
from rewardmodel.selectors import NothingPromoted, promoted_checkpoint


class StepSerializer(serializers.Serializer[Any]):
    step = serializers.CharField(source="key", help_text="its name in the addresses that start it")
    title = serializers.CharField()
    state = serializers.ChoiceField(
        source="status.state",
        choices=[state.value for state in State],
        help_text="ready: the schedule starts it at its next look; off: it starts by hand only",
    )
    note = serializers.CharField(source="status.note")
    waits_for = serializers.ListField(child=serializers.CharField(), source="status.missing")
    progress = serializers.ListField(
        source="status.progress",
        child=serializers.IntegerField(),
        allow_null=True,
        help_text="how much of how much is done; null where nothing is counted",
    )
    changed = serializers.CharField(source="status.changed", help_text="what it changed last, in figures")
    run = serializers.CharField(
        source="status.run",
        default=None,
        allow_null=True,
        help_text="under way, or the last; null where there was none",
    )
    because = serializers.CharField(help_text="who asked for that run, or what came due")


class LoopSerializer(serializers.Serializer[Any]):
    headline = serializers.CharField(help_text="where the loop stands, in a sentence")
    steps = StepSerializer(many=True, help_text="in the order of the loop")


class StepActionSerializer(serializers.Serializer[Any]):
    sentence = serializers.CharField(help_text="what was done")
    run = serializers.CharField(allow_null=True, help_text="that was queued, if one was")


class GeneratorSerializer(serializers.Serializer[Any]):
    name = serializers.CharField()
    pipeline = serializers.CharField(source="location", help_text="a folder or hub id")
    is_seen = serializers.BooleanField(help_text="false of a hub id that nothing has looked up or loaded yet")
    loras = serializers.ListField(
        child=serializers.CharField(), help_text="files over the pipeline, in order"
    )
    tuned_from = serializers.CharField(source="parent.name", default=None, allow_null=True)
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
    checkpoint = serializers.CharField(source="checkpoint.name", default=None, allow_null=True)


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


@extend_schema(responses=LoopSerializer)
@api_view(["GET"])
def loop(request: Request, slug: str) -> Response:
    """How each step of the project's loop stands, what it waits for, what ran last and why."""
    project = project_of(request, slug, Do.RESEARCH)
    statuses = read_loop(read_facts([project])[project.pk])
    steps = [
        {
            "key": key,
            "title": STEPS[key].title,
            "status": standing,
            "because": why_of(standing.run) if standing.run else "",
        }
        for key, standing in statuses.items()
    ]
    return Response(LoopSerializer({"headline": in_words(statuses), "steps": steps}).data)


@extend_schema(request=None, responses={201: StepActionSerializer})
@api_view(["POST"])
def start_loop_step(request: Request, slug: str, step: str) -> Response:
    """Start a step, due or not. 409: it is under way, or lacks what the answer says."""
    return _act(request, slug, step, start_step)


@extend_schema(request=None, responses={201: StepActionSerializer})
@api_view(["POST"])
def repeat_loop_step(request: Request, slug: str, step: str) -> Response:
    """Do a step again; a run that failed goes on where it stopped."""
    return _act(request, slug, step, repeat_step)


@extend_schema(request=None, responses={200: StepActionSerializer})
@api_view(["POST"])
def cancel_loop_step(request: Request, slug: str, step: str) -> Response:
    """Cancel what is under way in a step. 409: nothing is."""
    project = _project_of_step(request, slug, step)
    try:
        sentence = cancel_step(project, step, now=now(), by=user_of(request))
    except StepRefused as refusal:
        raise Conflict(str(refusal)) from None
    return Response(StepActionSerializer({"sentence": sentence, "run": None}).data)


def _act(request: Request, slug: str, step: str, act: Callable[..., Started]) -> Response:
    project = _project_of_step(request, slug, step)
    try:
        started = act(project, step, by=user_of(request))
    except StepRefused as refusal:
        raise Conflict(str(refusal)) from None
    if started.run is not None:
        wake(started.run)
    return Response(StepActionSerializer(started).data, status=status.HTTP_201_CREATED)


def _project_of_step(request: Request, slug: str, step: str) -> Project:
    """Raises: Http404, also for a step that there is not."""
    project = project_of(request, slug)
    if step not in STEPS:
        raise NotFound(f"no step {step!r}; there are {', '.join(STEPS)}")
    return project


urlpatterns = [
    path("projects/<slug:slug>/loop/", loop, name="api-loop"),
    path("projects/<slug:slug>/loop/<str:step>/start/", start_loop_step, name="api-start-step"),
    path("projects/<slug:slug>/loop/<str:step>/repeat/", repeat_loop_step, name="api-repeat-step"),
    path("projects/<slug:slug>/loop/<str:step>/cancel/", cancel_loop_step, name="api-cancel-step"),
    path("projects/<slug:slug>/generators/", generators, name="api-generators"),
    path("projects/<slug:slug>/tunings/", tunings, name="api-tunings"),
    path("projects/<slug:slug>/tunings/<int:pk>/", tuning, name="api-tuning"),
    path("projects/<slug:slug>/tunings/<int:pk>/curves.<str:form>", tuning_curves, name="api-tuning-curves"),
    path("projects/<slug:slug>/samplings/", samplings, name="api-samplings"),
    path("projects/<slug:slug>/samplings/<int:pk>/", sampling, name="api-sampling"),
]

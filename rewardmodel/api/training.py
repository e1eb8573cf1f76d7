"""Endpoints over the same services as the pages, for admins of the project; another's project is 404."""

from __future__ import annotations

from typing import Any

from django.http import HttpResponse
from django.shortcuts import get_object_or_404
from django.utils.timezone import now
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework.decorators import api_view
from rest_framework.request import Request
from rest_framework.response import Response

from annotation.access import Do
from annotation.api.requests import Conflict, page_of, paged, project_of, user_of, valid
from annotation.models import ChosenPrompt, Project, User
from annotation.statistics.estimates import NotEnough
from rewardmodel.api.serializers import (
    AccuracyForecastSerializer,
    CheckpointSerializer,
    ChosenPromptSerializer,
    DatasetSerializer,
    EvaluationSerializer,
    ForecastQuerySerializer,
    MeasuredRunSerializer,
    NewSelectionRunSerializer,
    NewTrainingRunSerializer,
    PromotionRuleSerializer,
    SelectionRunSerializer,
    TrainingRunSerializer,
)
from rewardmodel.models import DatasetVersion, Evaluation, RewardCheckpoint, SelectionRun, TrainingRun
from rewardmodel.runs.api import RunRequest, download_run_curves, find_row, list_or_queue, read_run
from rewardmodel.runs.waking import wake
from rewardmodel.selectors import NothingRegistered, accuracy_forecast, promotion_rule
from rewardmodel.services.datasets import NothingToFreeze
from rewardmodel.services.promotions import change_rule
from rewardmodel.services.selections import CannotSelect, queue_selection
from rewardmodel.services.training import NotTrainable, queue_learning_curve, queue_training


@extend_schema(responses=DatasetSerializer(many=True))
@paged
@api_view(["GET"])
def datasets(request: Request, slug: str) -> Response:
    """The project's frozen datasets, the newest first."""
    rows = DatasetVersion.objects.filter(project=project_of(request, slug))
    return page_of(request, rows, DatasetSerializer)


@extend_schema(responses=CheckpointSerializer(many=True))
@paged
@api_view(["GET"])
def checkpoints(request: Request, slug: str) -> Response:
    """The project's reward models, the newest first."""
    rows = RewardCheckpoint.objects.filter(project=project_of(request, slug)).select_related("run")
    return page_of(request, rows, CheckpointSerializer)


@extend_schema(methods=["GET"], responses=PromotionRuleSerializer)
@extend_schema(methods=["PATCH"], request=PromotionRuleSerializer, responses=PromotionRuleSerializer)
@api_view(["GET", "PATCH"])
def promotion(request: Request, slug: str) -> Response:
    """How sure a promotion has to be; changed, what waits is decided about again."""
    project = project_of(request, slug)
    if request.method == "PATCH":
        change_rule(
            project=project,
            now=now(),
            by=user_of(request),
            **valid(PromotionRuleSerializer(data=request.data)),
        )
    return Response(PromotionRuleSerializer(promotion_rule(project)).data)


@extend_schema(responses=EvaluationSerializer(many=True))
@paged
@api_view(["GET"])
def evaluations(request: Request, slug: str) -> Response:
    """What the project's reward models are worth on its datasets, measured last first."""
    rows = Evaluation.objects.filter(project=project_of(request, slug, Do.RESEARCH))
    return page_of(request, rows.select_related("checkpoint", "dataset"), EvaluationSerializer)


def _queue(project: Project, by: User, fields: dict[str, Any]) -> TrainingRun:
    return queue_training(
        project=project,
        dataset=find_row(DatasetVersion.objects.all(), project, "hash", fields.get("dataset")),
        initial=find_row(RewardCheckpoint.objects.all(), project, "name", fields.get("initial")),
        config=fields.get("config"),
        by=by,
    )


TRAINING = RunRequest(NewTrainingRunSerializer, _queue, (NotTrainable, NothingToFreeze, NothingRegistered))


@extend_schema(methods=["GET"], responses=TrainingRunSerializer(many=True))
@extend_schema(methods=["POST"], request=NewTrainingRunSerializer, responses={201: TrainingRunSerializer})
@paged
@api_view(["GET", "POST"])
def training_runs(request: Request, slug: str) -> Response:
    """The training runs, the newest first; or a new one."""
    return list_or_queue(request, slug, model=TrainingRun, serializer=TrainingRunSerializer, asking=TRAINING)


@extend_schema(responses=MeasuredRunSerializer)
@api_view(["GET"])
def training_run(request: Request, slug: str, pk: int) -> Response:
    """One training run, with what it measured at each step."""
    return read_run(request, slug, pk, model=TrainingRun, serializer=MeasuredRunSerializer)


@extend_schema(
    methods=["GET"],
    parameters=[ForecastQuerySerializer],
    responses={
        200: AccuracyForecastSerializer,
        409: OpenApiResponse(description="Too little was measured; `detail` says what is missing."),
    },
)
@extend_schema(methods=["POST"], request=None, responses={201: TrainingRunSerializer(many=True)})
@api_view(["GET", "POST"])
def learning_curve(request: Request, slug: str) -> Response:
    """Test accuracy by rankings, drawn further; or ask for the trainings that this needs. 409: too few."""
    project = project_of(request, slug)
    if request.method == "POST":
        try:
            runs = queue_learning_curve(project=project, by=user_of(request))
        except NotTrainable as error:
            raise Conflict(str(error)) from None
        for run in runs:
            wake(run)
        return Response(TrainingRunSerializer(runs, many=True).data, status=201)
    query = valid(ForecastQuerySerializer(data={"more": request.query_params.getlist("more")}))
    forecast = accuracy_forecast(project, query["more"])
    if isinstance(forecast, NotEnough):
        raise Conflict(f"{project.slug}: {forecast.reason}")
    return Response(AccuracyForecastSerializer(forecast).data)


@extend_schema(
    responses={(200, "text/csv"): OpenApiTypes.STR, (200, "application/json"): OpenApiTypes.OBJECT}
)
@api_view(["GET"])
def training_run_curves(request: Request, slug: str, pk: int, form: str) -> HttpResponse:
    """Every curve of one training run: csv has a row a step, json a list of steps and values a curve."""
    return download_run_curves(request, slug, pk, form, model=TrainingRun)


SELECTION = RunRequest(
    NewSelectionRunSerializer,
    lambda project, by, fields: queue_selection(project=project, config=fields.get("config"), by=by),
    (CannotSelect,),
)


@extend_schema(methods=["GET"], responses=SelectionRunSerializer(many=True))
@extend_schema(methods=["POST"], request=NewSelectionRunSerializer, responses={201: SelectionRunSerializer})
@paged
@api_view(["GET", "POST"])
def selection_runs(request: Request, slug: str) -> Response:
    """The selections of prompts, the newest first; or a new one."""
    return list_or_queue(
        request, slug, model=SelectionRun, serializer=SelectionRunSerializer, asking=SELECTION
    )


@extend_schema(responses=SelectionRunSerializer)
@api_view(["GET"])
def selection_run(request: Request, slug: str, pk: int) -> Response:
    """One selection."""
    return read_run(request, slug, pk, model=SelectionRun, serializer=SelectionRunSerializer)


@extend_schema(responses=ChosenPromptSerializer(many=True))
@paged
@api_view(["GET"])
def chosen_prompts(request: Request, slug: str, pk: int) -> Response:
    """What one selection chose, in the order of choice."""
    run = get_object_or_404(SelectionRun, pk=pk, project=project_of(request, slug))
    rows = ChosenPrompt.objects.filter(selection__run=run)
    return page_of(request, rows.select_related("prompt"), ChosenPromptSerializer)

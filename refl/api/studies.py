"""Blind studies over the API: researchers read them, admins open and close them."""

from __future__ import annotations

import random
from typing import Any

from django.http import Http404
from django.http.response import HttpResponseBase, JsonResponse
from django.shortcuts import get_object_or_404
from django.urls import path
from django.utils.timezone import now
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework import serializers, status
from rest_framework.decorators import api_view
from rest_framework.request import Request
from rest_framework.response import Response

from annotation.access import Do
from annotation.api.agreement import FigureSerializer
from annotation.api.requests import Conflict, page_of, paged, project_of, user_of, valid
from annotation.downloads import csv_response
from annotation.models import Project
from annotation.statistics.estimates import NotEnough
from refl.models import Generator, Study
from refl.selectors.studies import StudyReport, VoteRow, project_studies, study_report, vote_rows
from refl.selectors.study_figures import study_power
from refl.services.studies import close_study, open_study, repeat_study
from refl.services.study_plans import CannotStudy
from rewardmodel.runs.api import find_row
from rewardmodel.runs.waking import wake


class StudySerializer(serializers.Serializer[Any]):
    id = serializers.IntegerField(source="pk")
    name = serializers.CharField()
    state = serializers.ChoiceField(choices=Study.State.choices)
    reason = serializers.CharField(help_text="why it was closed")
    generators = serializers.SerializerMethodField(help_text="the base first")
    config = serializers.DictField()
    sampling = serializers.IntegerField(source="run_id", help_text="the run that makes its images")
    answered = serializers.IntegerField(help_text="opinions that count")
    wanted = serializers.IntegerField(help_text="opinions that there will be; 0 before it is opened")
    created_at = serializers.DateTimeField()
    opened_at = serializers.DateTimeField(allow_null=True)
    closed_at = serializers.DateTimeField(allow_null=True)
    is_public = serializers.SerializerMethodField()

    def get_generators(self, study: Study) -> list[str]:
        return [entry.generator.name for entry in study.entries.all()]

    def get_is_public(self, study: Study) -> bool:
        return study.public_token is not None


class PowerSerializer(serializers.Serializer[Any]):
    """How many votes a difference takes, each on a prompt of its own."""

    rate = serializers.FloatField(help_text="share of votes for the better one")
    fixed = serializers.IntegerField(help_text="votes of a test that is looked at once")
    mean = serializers.FloatField(help_text="votes until a study that may be looked at any time is decided")
    median = serializers.IntegerField()
    most = serializers.IntegerField(help_text="votes by which 8 of 10 such studies are decided")
    chance = serializers.FloatField(help_text="that this study is decided, should the difference be so large")


class OpenedStudySerializer(StudySerializer):
    power = PowerSerializer()


class NewStudySerializer(serializers.Serializer[Any]):
    generators = serializers.ListField(
        child=serializers.CharField(), help_text="names; the others are compared with the first"
    )
    name = serializers.CharField(required=False, help_text="default: the generators' names")
    design = serializers.ChoiceField(choices=Study.Design.choices, default=Study.Design.PAIRS)
    captions = serializers.IntegerField(
        required=False, help_text="how many prompts; default: 100, or all that are held out"
    )
    images_per_caption = serializers.IntegerField(default=1, help_text="seeds of each prompt")
    opinions = serializers.IntegerField(default=1, help_text="of each task")
    confidence = serializers.FloatField(default=0.95)
    stops = serializers.BooleanField(default=True, help_text="closes by itself when it is decided")
    margin = serializers.FloatField(default=0.1, help_text="no difference: the interval is so near one half")
    texts = serializers.ListField(
        child=serializers.CharField(), required=False, help_text="default: drawn from the held-out prompts"
    )


class CloseStudySerializer(serializers.Serializer[Any]):
    reason = serializers.CharField(default="", allow_blank=True, max_length=500)


class CategoryRateSerializer(serializers.Serializer[Any]):
    """`value` is over prompts, ties as half; its interval holds however often it is looked at."""

    generator = serializers.CharField(source="generator.name")
    against = serializers.CharField(source="against.name")
    wins = serializers.IntegerField(source="result.wins")
    losses = serializers.IntegerField(source="result.losses")
    ties = serializers.IntegerField(source="result.ties")
    captions = serializers.IntegerField(source="result.prompts", help_text="that have all their votes")
    value = serializers.FloatField(source="result.value", allow_null=True)
    low = serializers.FloatField(source="result.interval.low")
    high = serializers.FloatField(source="result.interval.high")


class RateSerializer(CategoryRateSerializer):
    """Its error is shared with the study's other comparisons."""

    verdict = serializers.ChoiceField(choices=["better", "worse", "equal", "open"])


class CategoryRatesSerializer(serializers.Serializer[Any]):
    """Each interval for itself: many categories make it likely that one leaves one half out by chance."""

    category = serializers.CharField()
    rates = CategoryRateSerializer(many=True)


class StudyCountsSerializer(serializers.Serializer[Any]):
    captions = serializers.IntegerField(source="prompts", help_text="prompts of the study")
    tasks = serializers.IntegerField()
    withdrawn = serializers.IntegerField(help_text="tasks that are asked no more: an image is gone, or equal")
    wanted = serializers.IntegerField()
    answered = serializers.IntegerField()
    waiting = serializers.IntegerField()
    in_hand = serializers.IntegerField()
    under_review = serializers.IntegerField()
    skipped = serializers.IntegerField()


class BoardRowSerializer(serializers.Serializer[Any]):
    generator = serializers.CharField(source="generator.name")
    rank = serializers.IntegerField(source="standing.rank")
    strength = FigureSerializer(source="standing.strength")
    wins = serializers.IntegerField(source="standing.wins")


class RewardWinRateSerializer(serializers.Serializer[Any]):
    generator = serializers.CharField()
    win_rate = FigureSerializer()


class RewardOpinionSerializer(serializers.Serializer[Any]):
    model = serializers.CharField()
    accuracy = FigureSerializer(help_text="how often it prefers what a person preferred")
    win_rates = RewardWinRateSerializer(many=True)


class StopSerializer(serializers.Serializer[Any]):
    kind = serializers.ChoiceField(choices=["go_on", "winner", "equal", "all_in"])
    sentence = serializers.CharField()


class StudyReportSerializer(serializers.Serializer[Any]):
    study = StudySerializer()
    problem = serializers.CharField(help_text="what keeps its images from being made")
    counts = StudyCountsSerializer()
    rates = RateSerializer(many=True)
    closed_with = RateSerializer(
        many=True,
        help_text="the rates when it was closed: what was in hand came in since; [] while it is open",
    )
    pairwise = RateSerializer(many=True, help_text="of every two, where there are three or more")
    board = BoardRowSerializer(many=True, help_text="of three or more; empty with too few prompts")
    categories = CategoryRatesSerializer(many=True)
    agreement = FigureSerializer(help_text="of two annotators on the same task")
    reward = RewardOpinionSerializer(allow_null=True)
    stop = StopSerializer()


@extend_schema(methods=["GET"], responses=StudySerializer(many=True), operation_id="studies_list")
@extend_schema(
    methods=["POST"],
    request=NewStudySerializer,
    responses={
        201: OpenedStudySerializer,
        409: OpenApiResponse(description="Such a study cannot be opened; `detail` says why."),
    },
)
@paged
@api_view(["GET", "POST"])
def studies(request: Request, slug: str) -> Response:
    """The project's studies, the newest first, for researchers and admins; or open one, for admins."""
    if request.method == "GET":
        return page_of(request, project_studies(project_of(request, slug, Do.RESEARCH)), StudySerializer)
    project = project_of(request, slug)
    fields = valid(NewStudySerializer(data=request.data))
    named = [find_row(Generator.objects.all(), project, "name", name) for name in fields.pop("generators")]
    try:
        study = open_study(
            project=project, generators=named, rng=random.Random(), by=user_of(request), **fields
        )
    except CannotStudy as error:
        raise Conflict(str(error)) from None
    return _opened(project, study)


def _opened(project: Project, study: Study) -> Response:
    wake(study.run)
    row = project_studies(project).get(pk=study.pk)
    power = PowerSerializer(study_power(study.settings, generators=study.entries.count())).data
    fields = StudySerializer(row).data | {"power": power}
    return Response(fields, status=status.HTTP_201_CREATED)


@extend_schema(responses=StudyReportSerializer)
@api_view(["GET"])
def study(request: Request, slug: str, pk: int) -> Response:
    """What a study found so far: win rates, categories, agreement, and the reward model's opinion."""
    project = project_of(request, slug, Do.RESEARCH)
    row = get_object_or_404(project_studies(project), pk=pk)
    return Response(StudyReportSerializer(_as_values(row, study_report(row))).data)


def _as_values(row: Study, report: StudyReport) -> dict[str, Any]:
    names = ("problem", "counts", "rates", "closed_with", "pairwise", "categories", "agreement", "stop")
    reward = report.reward
    return {
        "study": row,
        **{name: getattr(report, name) for name in names},
        "board": [] if report.board is None or isinstance(report.board, NotEnough) else report.board,
        "reward": reward
        and {
            "model": reward.model,
            "accuracy": reward.accuracy,
            "win_rates": [
                {"generator": generator.name, "win_rate": rate} for generator, rate in reward.win_rates
            ],
        },
    }


@extend_schema(request=CloseStudySerializer, responses=StudySerializer)
@api_view(["POST"])
def close(request: Request, slug: str, pk: int) -> Response:
    """End a study: nobody new is asked, and what somebody has in hand still counts. Again changes nothing."""
    project, user = project_of(request, slug), user_of(request)
    row = get_object_or_404(Study.objects.filter(project=project), pk=pk)
    reason = valid(CloseStudySerializer(data=request.data))["reason"]
    close_study(row, reason=reason, now=now(), by=user)
    return Response(StudySerializer(project_studies(project).get(pk=pk)).data)


@extend_schema(request=None, responses={201: OpenedStudySerializer})
@api_view(["POST"])
def repeat(request: Request, slug: str, pk: int) -> Response:
    """Open a study of the same generators, asked in the same way, with prompts and seeds drawn anew."""
    project = project_of(request, slug)
    row = get_object_or_404(Study.objects.filter(project=project), pk=pk)
    try:
        again = repeat_study(row, rng=random.Random(), by=user_of(request))
    except CannotStudy as error:
        raise Conflict(str(error)) from None
    return _opened(project, again)


@extend_schema(
    responses={(200, "text/csv"): OpenApiTypes.STR, (200, "application/json"): OpenApiTypes.OBJECT}
)
@api_view(["GET"])
def votes(request: Request, slug: str, pk: int, form: str) -> HttpResponseBase:
    """Every vote of a study, for its researchers and admins; annotators are named by pseudonyms."""
    project = project_of(request, slug, Do.RESEARCH)
    row = get_object_or_404(Study.objects.filter(project=project), pk=pk)
    name = f"study-{row.pk}-votes.{form}"
    rows = vote_rows(row)
    if form == "csv":
        return csv_response([VoteRow._fields, *rows], name=name)
    if form == "json":
        headers = {"Content-Disposition": f'attachment; filename="{name}"'}
        return JsonResponse([vote._asdict() for vote in rows], safe=False, headers=headers)
    raise Http404


urlpatterns = [
    path("projects/<slug:slug>/studies/", studies, name="api-studies"),
    path("projects/<slug:slug>/studies/<int:pk>/", study, name="api-study"),
    path("projects/<slug:slug>/studies/<int:pk>/close/", close, name="api-close-study"),
    path("projects/<slug:slug>/studies/<int:pk>/repeat/", repeat, name="api-repeat-study"),
    path("projects/<slug:slug>/studies/<int:pk>/votes.<str:form>", votes, name="api-study-votes"),
]

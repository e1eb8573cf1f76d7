"""Agreement and the leaderboard over the API, for inspectors, researchers and admins."""

from __future__ import annotations

from typing import Any, get_args

from drf_spectacular.utils import OpenApiParameter, extend_schema, extend_schema_field
from rest_framework import serializers
from rest_framework.decorators import api_view
from rest_framework.request import Request
from rest_framework.response import Response

from annotation.access import Do
from annotation.api.requests import project_of
from annotation.selectors.results.agreement import Figure, project_agreement, rating_agreement, read_opinions
from annotation.selectors.results.leaderboard import NamedBoard, project_leaderboard
from annotation.statistics.agreement import Measure
from annotation.statistics.estimates import NotEnough


class FigureSerializer(serializers.Serializer[Any]):
    """A figure with its 95 % interval over prompts; or none, and why."""

    value = serializers.FloatField(allow_null=True)
    low = serializers.FloatField(allow_null=True)
    high = serializers.FloatField(allow_null=True)
    prompts = serializers.IntegerField(help_text="on which it rests; 0 where there is no figure")
    count = serializers.IntegerField(help_text="of what is counted, as pairs")
    not_enough = serializers.CharField(help_text="why there is no figure; else empty")

    def to_representation(self, instance: Figure) -> dict[str, Any]:
        if isinstance(instance, NotEnough):
            nothing = {"value": None, "low": None, "high": None, "prompts": 0, "count": 0}
            return nothing | {"not_enough": instance.reason}
        names = ("value", "low", "high", "prompts", "count")
        return {name: getattr(instance, name) for name in names} | {"not_enough": ""}


@extend_schema_field(
    {"type": "array", "items": {"allOf": [{"$ref": "#/components/schemas/Figure"}], "nullable": True}}
)
class FiguresField(serializers.ListField):
    """Figures, with null where there is none to give; drf-spectacular leaves a child's null out."""

    child = FigureSerializer(allow_null=True)


class BesideSerializer(serializers.Serializer[Any]):
    """One judge beside each of `columns`; null where it would stand beside itself."""

    judge = serializers.CharField()
    figures = FiguresField()


class PersonAgreementSerializer(serializers.Serializer[Any]):
    username = serializers.CharField()
    annotates = serializers.BooleanField(help_text="who does not is a researcher")
    answers = serializers.IntegerField()
    figures = serializers.ListField(child=FigureSerializer())
    reliability = serializers.FloatField(
        source="right", allow_null=True, help_text="how often their preference is the true one"
    )


class AxisAgreementSerializer(serializers.Serializer[Any]):
    axis = serializers.CharField(source="axis.name")
    alpha = FigureSerializer(help_text="Krippendorff's, ordinal")


class AgreementSerializer(serializers.Serializer[Any]):
    """In the layout of ImageReward's Table 2a."""

    measure = serializers.ChoiceField(choices=get_args(Measure))
    answers = serializers.IntegerField()
    prompts = serializers.IntegerField()
    shared = serializers.IntegerField(help_text="prompts with two opinions or more")
    model = serializers.CharField(help_text="whose scores are compared; empty: none")
    columns = serializers.ListField(child=serializers.CharField())
    table = BesideSerializer(many=True)
    people = PersonAgreementSerializer(many=True)
    ratings = AxisAgreementSerializer(many=True)


class StandingSerializer(serializers.Serializer[Any]):
    generator = serializers.CharField()
    rank = serializers.IntegerField(source="standing.rank")
    ranks = serializers.ListField(
        source="standing.ranks", child=serializers.IntegerField(), help_text="that cannot be told apart"
    )
    strength = FigureSerializer(source="standing.strength", help_text="log odds against the board's average")
    wins = serializers.IntegerField(source="standing.wins", help_text="#Win, as in the paper's Table 1")
    losses = serializers.IntegerField(source="standing.losses")
    ties = serializers.IntegerField(source="standing.ties")
    score = serializers.FloatField(allow_null=True, help_text="mean of the reward model's")


class BoardSerializer(serializers.Serializer[Any]):
    generators = serializers.ListField(child=serializers.CharField())
    prompts = serializers.IntegerField()
    not_enough = serializers.CharField(help_text="why there are no standings; else empty")
    standings = StandingSerializer(many=True)
    correlation = serializers.FloatField(
        allow_null=True, help_text="Spearman's, of strengths and mean scores"
    )

    def to_representation(self, instance: NamedBoard) -> dict[str, Any]:
        standings = instance.standings
        is_short = isinstance(standings, NotEnough)
        return {
            "generators": instance.generators,
            "prompts": instance.prompts,
            "not_enough": standings.reason if isinstance(standings, NotEnough) else "",
            "standings": [] if is_short else StandingSerializer(standings, many=True).data,
            "correlation": instance.correlation,
        }


class LeaderboardSerializer(serializers.Serializer[Any]):
    boards = BoardSerializer(many=True)
    alone = serializers.ListField(child=serializers.CharField(), help_text="compared with no other yet")
    model = serializers.CharField()


@extend_schema(
    parameters=[
        OpenApiParameter(
            "by", enum=get_args(Measure), description="ties left out (default), ties as half, Kendall's tau-b"
        )
    ],
    responses=AgreementSerializer,
)
@api_view(["GET"])
def agreement(request: Request, slug: str) -> Response:
    """How often two judges prefer the same image, each person by themselves, and the axes of rating."""
    project = project_of(request, slug, Do.STUDY)
    by = request.query_params.get("by", "strict")
    measure: Measure | None = next((name for name in get_args(Measure) if name == by), None)
    if measure is None:
        raise serializers.ValidationError({"by": [f"Is none of {', '.join(get_args(Measure))}."]})
    result = project_agreement(read_opinions(project), measure)
    fields = {
        "measure": measure,
        "answers": result.answers,
        "prompts": result.prompts,
        "shared": result.shared,
        "model": result.model,
        "columns": result.columns,
        "table": [{"judge": judge, "figures": figures} for judge, figures in result.table],
        "people": result.people,
        "ratings": rating_agreement(project) if project.asks_ratings else [],
    }
    return Response(AgreementSerializer(fields).data)


@extend_schema(responses=LeaderboardSerializer)
@api_view(["GET"])
def leaderboard(request: Request, slug: str) -> Response:
    """Generators by how often people prefer their images."""
    return Response(LeaderboardSerializer(project_leaderboard(project_of(request, slug, Do.STUDY))).data)

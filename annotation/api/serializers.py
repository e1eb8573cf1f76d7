"""Serializers of requests and responses; nothing here writes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers
from rest_framework.reverse import reverse

from annotation.models import Category, Generation, Issue, Problem, Project, Rating, Review
from annotation.models.axes import COLUMNS, LONGEST, NAME, SCALE, Axis, as_stored
from annotation.models.prompts import KEY_LENGTH

MOST_PROMPTS = 10_000  # in one request


class AxisSerializer(serializers.Serializer[Any]):
    """What images are rated on: a question with 1 to 7 points, 7 is best."""

    name = serializers.RegexField(
        f"^{NAME.pattern}$", help_text="in answers and in files; not one ending in _rating, nor problems"
    )
    title = serializers.CharField(max_length=LONGEST["title"])
    question = serializers.CharField(max_length=LONGEST["question"], default="", allow_blank=True)
    low = serializers.CharField(
        max_length=LONGEST["low"], default="", allow_blank=True, help_text="what 1 means"
    )
    middle = serializers.CharField(
        max_length=LONGEST["middle"], default="", allow_blank=True, help_text="what 4 means"
    )
    high = serializers.CharField(
        max_length=LONGEST["high"], default="", allow_blank=True, help_text="what 7 means"
    )


class AxesOfProject(serializers.ListField):
    """A project's axes, always in full; given as a project stores them."""

    child = AxisSerializer()

    def get_attribute(self, instance: Project) -> list[Axis]:
        return list(instance.rating_axes)

    def to_internal_value(self, data: Any) -> Any:
        return as_stored(Axis(**axis) for axis in super().to_internal_value(data))


class ProjectSerializer(serializers.Serializer[Any]):
    slug = serializers.SlugField()
    name = serializers.CharField()
    asks_label = serializers.BooleanField()
    asks_ratings = serializers.BooleanField()
    axes = AxesOfProject(help_text="that images are rated on")
    asks_acceptable = serializers.BooleanField()
    slots = serializers.IntegerField()
    per_slot = serializers.IntegerField()
    consistency = serializers.CharField()
    opinions_per_prompt = serializers.IntegerField()
    review_share = serializers.FloatField()


class AnnotatorProgressSerializer(serializers.Serializer[Any]):
    username = serializers.CharField()
    leased = serializers.IntegerField()
    submitted = serializers.IntegerField()
    accepted = serializers.IntegerField()
    rejected = serializers.IntegerField()


class DaySerializer(serializers.Serializer[Any]):
    day = serializers.DateField()
    answers = serializers.IntegerField()


class ProgressSerializer(serializers.Serializer[Any]):
    prompts = serializers.IntegerField()
    images = serializers.IntegerField()
    assignments = serializers.DictField(child=serializers.IntegerField())
    finished = serializers.IntegerField()
    pairs = serializers.IntegerField(help_text="pairs of images in different slots of finished rankings")
    ties = serializers.IntegerField(help_text="pairs in the same slot")
    annotators = AnnotatorProgressSerializer(many=True)
    days = DaySerializer(many=True)
    pace = serializers.FloatField(help_text="answers a day, in the last seven days")


class GenerationSerializer(serializers.Serializer[Any]):
    id = serializers.IntegerField()
    source = serializers.CharField()  # type: ignore[assignment]  # a field, no attribute of this one
    url = serializers.SerializerMethodField(help_text="the file; null where it was never had")
    sha256 = serializers.CharField(source="image_id", allow_null=True)
    generator = serializers.CharField()
    seed = serializers.IntegerField(allow_null=True)
    parameters = serializers.DictField()
    flagged = serializers.BooleanField(source="is_flagged")
    score = serializers.FloatField(allow_null=True)
    scored_by = serializers.CharField()
    percentile = serializers.FloatField(
        source="score_percentile",
        allow_null=True,
        help_text="0 to 100, share of the images with a lower score that the model was validated on",
    )
    preferred = serializers.FloatField(
        source="score_preferred",
        allow_null=True,
        help_text="0 to 1, how probably people prefer it to the median of the base generator's images",
    )

    @extend_schema_field(serializers.URLField(allow_null=True))
    def get_url(self, generation: Generation) -> str | None:
        if generation.image is None:
            return None
        address: str = reverse("api-image", [generation.image.token], request=self.context.get("request"))
        return address


class PromptSerializer(serializers.Serializer[Any]):
    id = serializers.CharField(source="key")
    prompt = serializers.CharField(source="text")
    translation = serializers.CharField()
    generations = GenerationSerializer(many=True)


class NewPromptSerializer(serializers.Serializer[Any]):
    id = serializers.CharField(max_length=KEY_LENGTH)
    prompt = serializers.CharField(trim_whitespace=False)
    translation = serializers.CharField(default="", allow_blank=True)

    def validate_prompt(self, prompt: str) -> str:
        if not prompt.strip():
            raise serializers.ValidationError("says nothing")
        return prompt


class NewPromptsSerializer(serializers.Serializer[Any]):
    prompts = NewPromptSerializer(many=True, allow_empty=False)

    def validate_prompts(self, prompts: list[dict[str, str]]) -> list[dict[str, str]]:
        if len(prompts) > MOST_PROMPTS:
            raise serializers.ValidationError(f"more than {MOST_PROMPTS:,} in one request")
        seen: set[str] = set()
        for prompt in prompts:
            if prompt["id"] in seen:
                raise serializers.ValidationError(f"id {prompt['id']!r} is there twice")
            seen.add(prompt["id"])
        return prompts


class AddedPromptsSerializer(serializers.Serializer[Any]):
    new = serializers.IntegerField()
    known = serializers.IntegerField()


class RankingSerializer(serializers.Serializer[Any]):
    """An item of ImageReward's JSON; ranking[i] is the slot of generations[i], 1 is best."""

    id = serializers.CharField()
    prompt = serializers.CharField()
    generations = serializers.ListField(child=serializers.CharField())
    ranking = serializers.ListField(child=serializers.IntegerField())
    annotator = serializers.CharField(
        required=False, help_text="a pseudonym; where some prompt has several opinions"
    )
    positions = serializers.ListField(
        child=serializers.IntegerField(),
        required=False,
        help_text="where each image stood on the page, from 1; where known",
    )
    seconds = serializers.FloatField(required=False, help_text="that the opinion took; where known")
    acceptable_slots = serializers.IntegerField(
        required=False, help_text="images in slots 1 to this are acceptable, 0: none is; where asked"
    )


class LabelSerializer(serializers.Serializer[Any]):
    """Stage 1, where the project asks for it."""

    category = serializers.ChoiceField(choices=Category.choices)
    intent_unclear = serializers.BooleanField()
    issues = serializers.ListField(child=serializers.ChoiceField(choices=Issue.choices))


class RatingSerializer(serializers.Serializer[Any]):
    """Stage 2, where the project asks for it: a point from 1 to 7 on each of its axes, by name.

    By default these are the paper's three. No problems are an empty list: it has to be said.
    """

    problems = serializers.ListField(child=serializers.ChoiceField(choices=Problem.choices))

    def get_fields(self) -> dict[str, serializers.Field[Any, Any, Any, Any]]:
        """Return a field an axis of the context's `project`; without one, for the schema, the paper's."""
        project: Project | None = self.context.get("project")
        axes = COLUMNS if project is None else [axis.name for axis in project.rating_axes]
        low, high = SCALE
        return {
            axis: serializers.IntegerField(
                source=f"points.{axis}", min_value=low, max_value=high, required=project is not None
            )
            for axis in axes
        } | super().get_fields()

    def to_internal_value(self, data: Any) -> Any:
        """Return `points` by axis and `problems`. Raises: ValidationError, also for an unknown axis."""
        if isinstance(data, Mapping) and (unknown := [name for name in data if name not in self.fields]):
            raise serializers.ValidationError({unknown[0]: ["This project has no such axis."]})
        return super().to_internal_value(data)

    def to_representation(self, instance: Rating) -> dict[str, Any]:
        return instance.points | {"problems": instance.problems}


class ReviewSerializer(serializers.Serializer[Any]):
    inspector = serializers.CharField(source="inspector.username")
    verdict = serializers.ChoiceField(choices=Review.Verdict.choices)
    reason = serializers.CharField()
    created_at = serializers.DateTimeField()

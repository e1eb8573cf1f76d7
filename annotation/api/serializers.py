"""Serializers of requests and responses; nothing here writes."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers
from rest_framework.reverse import reverse

from annotation.models import Category, Generation, Issue, Problem, Review
from annotation.models.judgements import SCALE
from annotation.models.prompts import KEY_LENGTH

MOST_PROMPTS = 10_000  # in one request


class ProjectSerializer(serializers.Serializer[Any]):
    slug = serializers.SlugField()
    name = serializers.CharField()
    asks_label = serializers.BooleanField()
    asks_ratings = serializers.BooleanField()
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
    """Stage 2, where the project asks for it. No problems are an empty list: it has to be said."""

    overall = serializers.IntegerField(min_value=SCALE[0], max_value=SCALE[1])
    alignment = serializers.IntegerField(min_value=SCALE[0], max_value=SCALE[1])
    fidelity = serializers.IntegerField(min_value=SCALE[0], max_value=SCALE[1])
    problems = serializers.ListField(child=serializers.ChoiceField(choices=Problem.choices))


class ReviewSerializer(serializers.Serializer[Any]):
    inspector = serializers.CharField(source="inspector.username")
    verdict = serializers.ChoiceField(choices=Review.Verdict.choices)
    reason = serializers.CharField()
    created_at = serializers.DateTimeField()

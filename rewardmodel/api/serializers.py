"""What the endpoints of this app take and give."""

from __future__ import annotations

import math
from typing import Any

from rest_framework import serializers

from rewardmodel.models import RewardCheckpoint
from rewardmodel.models.promotions import HIGHEST, LOWEST

MOST_PAIRS = 2**31 - 1  # what a PositiveIntegerField holds


class DatasetSerializer(serializers.Serializer[Any]):
    hash = serializers.CharField()
    counts = serializers.DictField(help_text="split -> rankings, pairs, ties, prompts, images")
    shares = serializers.DictField(child=serializers.FloatField())
    answers = serializers.IntegerField(help_text="finished rankings there were")
    left_out = serializers.IntegerField(help_text="of these, rankings whose images are not at hand")
    split_by = serializers.CharField(help_text="published: prompts stay in the split they were published in")
    repeated = serializers.DictField(
        child=serializers.IntegerField(),
        help_text="split -> rankings left out whose text is published in another split too",
    )
    newest_answer = serializers.DateTimeField(allow_null=True)
    ceiling = serializers.FloatField(allow_null=True, help_text="people's own accuracy, where known")
    created_at = serializers.DateTimeField()


class CheckpointSerializer(serializers.Serializer[Any]):
    name = serializers.CharField()
    location = serializers.CharField(help_text="what rewardmodel.learning.load takes")
    run = serializers.IntegerField(source="run_id", allow_null=True)
    metrics = serializers.DictField(help_text="empty until it was evaluated")
    verdict = serializers.ChoiceField(
        choices=RewardCheckpoint.Verdict.choices, help_text="what was decided last about promoting it"
    )
    decision = serializers.DictField(
        help_text="by what: rule, over, difference, interval, probability, pairs, prompts, dataset, wanted, "
        "least, waits_for, waits_for_rankings; empty until then"
    )
    promoted = serializers.BooleanField()
    promoted_at = serializers.DateTimeField(allow_null=True)
    created_at = serializers.DateTimeField()


class PromotionRuleSerializer(serializers.Serializer[Any]):
    probability = serializers.FloatField(
        required=False,
        min_value=LOWEST,
        max_value=HIGHEST,
        help_text="wanted, that a new model is better than the promoted one",
    )
    pairs = serializers.IntegerField(
        required=False, min_value=1, max_value=MOST_PAIRS, help_text="test pairs at least"
    )

    def validate_probability(self, probability: float) -> float:
        """Refuse nan, which is neither too low nor too high. Raises: ValidationError."""
        if not math.isfinite(probability):
            raise serializers.ValidationError("A valid number is required.")
        return probability


class EvaluationSerializer(serializers.Serializer[Any]):
    id = serializers.IntegerField()
    model = serializers.CharField(help_text="a checkpoint's name, or a baseline's")
    dataset = serializers.CharField(source="dataset.hash")
    split = serializers.CharField()
    ceiling = serializers.FloatField(allow_null=True, help_text="people's own accuracy, where known")
    figures = serializers.DictField(help_text="what rewardmodel.learning.evaluation.report gives")
    measured_at = serializers.DateTimeField()


class ForecastSerializer(serializers.Serializer[Any]):
    answers = serializers.IntegerField(help_text="rankings learned from")
    value = serializers.FloatField(help_text="test accuracy to expect, from 0 to 1")
    low = serializers.FloatField(help_text="between this and `high` 95 of 100 trainings should come")
    high = serializers.FloatField()


class AccuracyForecastSerializer(serializers.Serializer[Any]):
    dataset = serializers.CharField(source="dataset.hash", help_text="whose test split all is measured on")
    points = serializers.ListField(
        child=serializers.ListField(child=serializers.FloatField()),
        help_text="trainings: rankings learned from, and accuracy",
    )
    left_out = serializers.IntegerField(
        help_text="trainings measured on it that began from another model, were configured otherwise, or may "
        "have learned from its prompts"
    )
    now = ForecastSerializer(help_text="of learning from all of the dataset's training rankings")
    more = serializers.DictField(
        child=ForecastSerializer(), help_text="by how many more finished rankings than the dataset has"
    )


class ForecastQuerySerializer(serializers.Serializer[Any]):
    more = serializers.ListField(
        child=serializers.IntegerField(min_value=1, max_value=10**9),
        required=False,
        default=[],
        help_text="finished rankings more than the dataset has, one forecast each; default: half, as many, "
        "three times",
    )


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


class SelectionSerializer(serializers.Serializer[Any]):
    encoder = serializers.CharField(help_text="what read the prompts, and its digest")
    candidates = serializers.IntegerField(help_text="prompts there were")
    exact_duplicates = serializers.IntegerField()
    near_duplicates = serializers.IntegerField()
    sets = serializers.ListField(
        child=serializers.DictField(), help_text="prompts, chosen, covered, covered_by_chance of each"
    )
    coverage = serializers.FloatField(help_text="share of prompts chosen, or voting for one that is")
    coverage_by_chance = serializers.FloatField(help_text="the same of a blind draw")
    finished_at = serializers.DateTimeField(allow_null=True)


class SelectionRunSerializer(RunSerializer):
    selection = SelectionSerializer(allow_null=True)


class NewSelectionRunSerializer(serializers.Serializer[Any]):
    config = serializers.DictField(required=False, help_text="fields of SelectionConfig that are not default")


class ChosenPromptSerializer(serializers.Serializer[Any]):
    key = serializers.CharField(source="prompt.key")
    prompt = serializers.CharField(source="prompt.text")
    set = serializers.IntegerField(source="set_number")
    place = serializers.IntegerField()
    score = serializers.FloatField(help_text="votes when it was chosen")
    voters = serializers.IntegerField()


class MeasurementSerializer(serializers.Serializer[Any]):
    step = serializers.IntegerField()
    values = serializers.DictField(child=serializers.FloatField())


class MeasuredRunSerializer(TrainingRunSerializer):
    points = MeasurementSerializer(many=True)


class NewTrainingRunSerializer(serializers.Serializer[Any]):
    dataset = serializers.CharField(required=False, help_text="hash; default: freeze what is finished now")
    initial = serializers.CharField(required=False, help_text="default: the checkpoint registered last")
    config = serializers.DictField(required=False, help_text="fields of RewardConfig; default: the policy's")

"""What the endpoints of this app take and give."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers


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

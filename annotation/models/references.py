"""Reference answers, and the results of comparing others with them."""

from __future__ import annotations

from django.db import models
from django.db.models import Q

from annotation.models.assignments import Assignment
from annotation.models.people import User
from annotation.models.prompts import Prompt


class ReferenceQuerySet(models.QuerySet["Reference"]):
    def in_use(self) -> ReferenceQuerySet:
        return self.filter(retired_at=None)


class Reference(models.Model):
    """A prompt's trusted answer, and its purpose: gold, training or test."""

    class Purpose(models.TextChoices):
        GOLD = "gold", "Gold: mixed in among the tasks"
        TRAINING = "training", "Training: shown with feedback"
        QUALIFICATION = "qualification", "Test before the first task"

    prompt = models.OneToOneField(Prompt, models.PROTECT, related_name="reference")
    answer = models.OneToOneField(Assignment, models.PROTECT, related_name="reference")
    purpose = models.CharField(max_length=13, choices=Purpose)
    note = models.TextField(blank=True)  # why it is so; shown after a training item
    created_by = models.ForeignKey(User, models.PROTECT, related_name="+")
    created_at = models.DateTimeField()
    retired_at = models.DateTimeField(null=True)  # since when it is no longer used

    objects = ReferenceQuerySet.as_manager()

    class Meta:
        ordering = ["pk"]
        constraints = [
            models.CheckConstraint(
                name="a_purpose_is_known", condition=Q(purpose__in=["gold", "training", "qualification"])
            ),
        ]

    def __str__(self) -> str:
        return f"{self.purpose}: {self.prompt}"


class Check(models.Model):
    """The agreement of an answer with the one it was given to be compared with.

    `agreed` of `pairs` of images: 1 for the same preference or tie, 1/2 where only one calls a tie.
    """

    assignment = models.OneToOneField(Assignment, models.CASCADE, related_name="check_result")
    agreed = models.FloatField()
    pairs = models.PositiveSmallIntegerField()
    compared_at = models.DateTimeField()

    class Meta:
        constraints = [
            models.CheckConstraint(
                name="no_more_pairs_agree_than_there_are",
                condition=Q(pairs__gte=1, agreed__gte=0, agreed__lte=models.F("pairs")),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.agreed:g} of {self.pairs} pairs ({self.assignment})"

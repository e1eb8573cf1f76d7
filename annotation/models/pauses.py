"""Pauses of annotators, with reasons."""

from __future__ import annotations

from django.db import models
from django.db.models import Q

from annotation.models.people import User
from annotation.models.projects import Project


class PauseQuerySet(models.QuerySet["Pause"]):
    def in_force(self) -> PauseQuerySet:
        return self.filter(lifted_at=None)


class Pause(models.Model):
    """An annotator gets no work in a project until the pause is lifted; the reason is shown to them."""

    class Rule(models.TextChoices):
        BY_HAND = "hand", "by hand"
        GOLD = "gold", "agreement with known answers"
        SPEED = "speed", "speed"
        PLACE = "place", "place of the best image"

    project = models.ForeignKey(Project, models.CASCADE, related_name="pauses")
    user = models.ForeignKey(User, models.CASCADE, related_name="pauses")
    rule = models.CharField(max_length=5, choices=Rule)
    reason = models.TextField()
    paused_by = models.ForeignKey(User, models.PROTECT, null=True, related_name="+")  # null: by a rule
    paused_at = models.DateTimeField()
    lifted_by = models.ForeignKey(User, models.PROTECT, null=True, related_name="+")
    lifted_at = models.DateTimeField(null=True)

    objects = PauseQuerySet.as_manager()

    class Meta:
        ordering = ["-pk"]
        constraints = [
            models.UniqueConstraint(
                fields=["project", "user"], condition=Q(lifted_at=None), name="one_pause_at_a_time"
            ),
            models.CheckConstraint(
                name="a_pauses_rule_is_known", condition=Q(rule__in=["hand", "gold", "speed", "place"])
            ),
            models.CheckConstraint(name="a_pause_says_why", condition=~Q(reason="")),
            models.CheckConstraint(
                name="only_rules_pause_by_themselves",
                condition=Q(rule="hand", paused_by__isnull=False) | (~Q(rule="hand") & Q(paused_by=None)),
            ),
            models.CheckConstraint(
                name="somebody_lifted_a_pause_that_is_over",
                condition=Q(lifted_at=None, lifted_by=None)
                | Q(lifted_at__isnull=False, lifted_by__isnull=False),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.user} paused in {self.project}"

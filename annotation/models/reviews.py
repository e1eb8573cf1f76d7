"""Inspectors' reviews of submitted answers."""

from __future__ import annotations

from django.db import models
from django.db.models import Q

from annotation.models.assignments import Assignment
from annotation.models.people import User


class Review(models.Model):
    """An inspector's verdict on one answer; the newest counts, older ones stay."""

    class Verdict(models.TextChoices):
        ACCEPTED = "accepted"
        REJECTED = "rejected"

    assignment = models.ForeignKey(Assignment, models.PROTECT, related_name="reviews")
    inspector = models.ForeignKey(User, models.PROTECT, related_name="reviews")
    verdict = models.CharField(max_length=8, choices=Verdict)
    reason = models.TextField(blank=True)
    created_at = models.DateTimeField()

    class Meta:
        ordering = ["-pk"]
        constraints = [
            models.CheckConstraint(
                name="a_verdict_is_accepted_or_rejected", condition=Q(verdict__in=["accepted", "rejected"])
            ),
            models.CheckConstraint(
                name="a_rejection_has_its_reason", condition=~Q(verdict="rejected", reason="")
            ),
        ]

    def __str__(self) -> str:
        return f"{self.verdict} by {self.inspector}"

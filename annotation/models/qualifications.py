"""Qualifications for ordinary work in projects that require one."""

from __future__ import annotations

from django.db import models
from django.db.models import Q

from annotation.models.people import User
from annotation.models.projects import Project


class Qualification(models.Model):
    """The result of an annotator's test, or a decision by hand. The newest counts; older ones stay."""

    class Outcome(models.TextChoices):
        QUALIFIED = "qualified"
        REFUSED = "refused"

    project = models.ForeignKey(Project, models.CASCADE, related_name="qualifications")
    user = models.ForeignKey(User, models.CASCADE, related_name="qualifications")
    outcome = models.CharField(max_length=9, choices=Outcome)
    agreed = models.FloatField(default=0.0)  # of so many pairs of the test, as a Check has them
    pairs = models.PositiveIntegerField(default=0)
    threshold = models.FloatField()  # the share required at that time
    decided_by = models.ForeignKey(User, models.PROTECT, null=True, related_name="+")  # null: by the test
    reason = models.TextField(blank=True)
    decided_at = models.DateTimeField()

    class Meta:
        ordering = ["-pk"]
        indexes = [models.Index(fields=["project", "user", "-id"], name="newest_qualification")]
        constraints = [
            models.CheckConstraint(
                name="a_qualification_is_passed_or_refused",
                condition=Q(outcome__in=["qualified", "refused"]),
            ),
            models.CheckConstraint(
                name="a_person_decides_with_a_reason", condition=Q(decided_by=None) | ~Q(reason="")
            ),
        ]

    def __str__(self) -> str:
        return f"{self.user}: {self.outcome} for {self.project}"

"""Tasks that their annotators passed on, and why."""

from __future__ import annotations

from django.db import models
from django.db.models import Q

from annotation.models.assignments import Assignment


class Skip(models.Model):
    """Why somebody did not judge a task; another annotator is asked instead."""

    class Reason(models.TextChoices):
        """The paper lets people pass on both (ImageReward, appendix B)."""

        UNCOMFORTABLE = "uncomfortable", "I do not want to look at this"
        UNFIT = "unfit", "I know too little of it to judge"
        BROKEN = "broken", "An image does not show, or the text is cut off"  # ours

    assignment = models.OneToOneField(Assignment, models.PROTECT, related_name="skip")
    reason = models.CharField(max_length=13, choices=Reason)
    note = models.TextField(blank=True)
    skipped_at = models.DateTimeField()

    class Meta:
        constraints = [
            models.CheckConstraint(
                name="a_skip_says_why", condition=Q(reason__in=["uncomfortable", "unfit", "broken"])
            ),
        ]

    def __str__(self) -> str:
        return f"{self.assignment}: {self.reason}"

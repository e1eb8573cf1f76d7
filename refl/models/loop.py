"""What the schedule notes about the loop."""

from __future__ import annotations

from django.db import models

from annotation.models import Project


class StepRefusal(models.Model):
    """Why the schedule could not start a step that was due, at its last look; gone when it could."""

    project = models.ForeignKey(Project, models.CASCADE, related_name="step_refusals")
    step = models.CharField(max_length=20)  # its key in refl.loop
    reason = models.TextField()
    at = models.DateTimeField(auto_now=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["project", "step"], name="a_step_has_one_refusal"),
        ]

    def __str__(self) -> str:
        return f"{self.project}, {self.step}: {self.reason}"

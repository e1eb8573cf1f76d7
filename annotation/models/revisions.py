"""What answers said before the people who gave them changed them: rows that are only ever added."""

from __future__ import annotations

from django.db import models

from annotation.models.assignments import Assignment


class Revision(models.Model):
    """Words that an answer does not have any more. The database refuses to change or delete them.

    `said` is {"label": {..} or null, "ratings": {generation id: {..}}, "slots": {generation id: slot}}.
    """

    assignment = models.ForeignKey(Assignment, models.PROTECT, related_name="revisions")
    number = models.PositiveSmallIntegerField()  # 1 is what was submitted
    said = models.JSONField()
    replaced_at = models.DateTimeField()

    class Meta:
        ordering = ["pk"]
        constraints = [
            models.UniqueConstraint(fields=["assignment", "number"], name="an_answer_has_each_revision_once"),
            models.CheckConstraint(name="revisions_count_from_1", condition=models.Q(number__gte=1)),
        ]

    def __str__(self) -> str:
        return f"revision {self.number} of {self.assignment}"

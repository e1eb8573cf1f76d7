"""Work handed out: who judges which prompt, and until when it is theirs."""

from __future__ import annotations

from datetime import datetime

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q

from annotation.models.people import User
from annotation.models.projects import Project
from annotation.models.prompts import Prompt


class AssignmentQuerySet(models.QuerySet["Assignment"]):
    def held_by(self, annotator: User) -> AssignmentQuerySet:
        return self.filter(annotator=annotator, state=Assignment.State.LEASED)

    def claimable_by(self, annotator: User, *, now: datetime) -> AssignmentQuerySet:
        """Open slots, and slots whose lease ran out, on prompts this annotator has not had."""
        lapsed = Q(state=Assignment.State.LEASED, leased_until__lte=now)
        had = Assignment.objects.filter(annotator=annotator).values("prompt")
        return self.filter(Q(state=Assignment.State.OPEN) | lapsed).exclude(prompt__in=had)

    def finished(self) -> AssignmentQuerySet:
        """Answers that count as preferences."""
        return self.filter(state=Assignment.State.ACCEPTED)


class Assignment(models.Model):
    """One opinion wanted on one prompt."""

    class State(models.TextChoices):
        OPEN = "open"
        LEASED = "leased"
        SUBMITTED = "submitted"  # waits for an inspector
        ACCEPTED = "accepted"
        REJECTED = "rejected"  # an inspector sent it back; a new assignment asks somebody else

    project = models.ForeignKey(Project, models.CASCADE, related_name="assignments")
    prompt = models.ForeignKey(Prompt, models.PROTECT, related_name="assignments")
    annotator = models.ForeignKey(User, models.PROTECT, null=True, related_name="assignments")
    state = models.CharField(max_length=9, choices=State, default=State.OPEN)
    leased_until = models.DateTimeField(null=True)
    # Generation ids in the order they are shown to this annotator, shuffled when the slot is claimed.
    order = ArrayField(models.BigIntegerField(), default=list)
    claimed_at = models.DateTimeField(null=True)
    submitted_at = models.DateTimeField(null=True)
    accepted_at = models.DateTimeField(null=True)  # since when the answer counts as preferences

    objects = AssignmentQuerySet.as_manager()

    class Meta:
        ordering = ["pk"]
        indexes = [
            models.Index(
                fields=["project", "id"], condition=Q(state__in=["open", "leased"]), name="claimable"
            ),
            models.Index(fields=["project", "state"], name="assignments_by_state"),
            models.Index(fields=["project", "accepted_at"], name="assignments_by_acceptance"),
        ]
        constraints = [
            models.UniqueConstraint(fields=["prompt", "annotator"], name="one_opinion_per_annotator"),
            models.CheckConstraint(
                name="only_open_slots_are_nobodys",
                condition=Q(state="open", annotator=None, leased_until=None)
                | (~Q(state="open") & Q(annotator__isnull=False, leased_until__isnull=False)),
            ),
            models.CheckConstraint(
                name="an_answer_has_its_time",
                condition=Q(state__in=["open", "leased"], submitted_at=None)
                | Q(state__in=["submitted", "accepted", "rejected"], submitted_at__isnull=False),
            ),
            models.CheckConstraint(
                name="only_accepted_answers_have_been_accepted",
                condition=Q(state="accepted", accepted_at__isnull=False)
                | (~Q(state="accepted") & Q(accepted_at=None)),
            ),
        ]

    def __str__(self) -> str:
        return f"assignment {self.pk} ({self.state})"

    @property
    def claim(self) -> str:
        """Names the order that an answer's numbers go by: who claims the slot next gets another one."""
        return self.claimed_at.isoformat() if self.claimed_at else ""


class Draft(models.Model):
    """An unfinished answer, saved as the annotator works; gone when the answer is submitted."""

    assignment = models.OneToOneField(Assignment, models.CASCADE, related_name="draft")
    answer = models.JSONField(default=dict)  # the form's fields as posted
    saved_at = models.DateTimeField()

    def __str__(self) -> str:
        return f"draft of {self.assignment}"

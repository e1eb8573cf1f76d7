"""Assignments: who judges which prompt, for what purpose, and until when."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.contrib.postgres.expressions import ArraySubquery
from django.contrib.postgres.fields import ArrayField
from django.contrib.postgres.functions import RandomUUID
from django.db import models
from django.db.models import Exists, Expression, OuterRef, Q
from django.db.models.functions import JSONObject
from django.utils.crypto import salted_hmac

from annotation.models.people import User
from annotation.models.projects import Project
from annotation.models.prompts import Generation, Prompt

OPINIONS = ("ordinary", "study")  # what anybody may be given: opened for no annotator in particular
WORK = (*OPINIONS, "gold", "repeat")
REPLACED = ("rejected", "skipped")  # states in which somebody else is asked instead
# Kinds of first answers to a prompt, outside training and test.
COMPARED = ("ordinary", "gold", "reference")


@dataclass(frozen=True)
class ShownImage:
    """The fields of an image that a task's page needs. Width and height are in pixels."""

    generation_id: int
    token: str
    width: int
    height: int
    is_flagged: bool


class AssignmentQuerySet(models.QuerySet["Assignment"]):
    """The rules for giving out work. Arguments are values or expressions."""

    def leased_by(self, annotator: User | Expression) -> AssignmentQuerySet:
        """The annotator's current assignment, and the one leased ahead."""
        return self.filter(annotator=annotator, state=Assignment.State.LEASED)

    def held_by(self, annotator: User | Expression) -> AssignmentQuerySet:
        """The annotator's current assignment."""
        return self.leased_by(annotator).filter(claimed_at__isnull=False)

    def unbegun(self) -> AssignmentQuerySet:
        """Leased ahead: not shown to anybody yet."""
        return self.filter(state=Assignment.State.LEASED, claimed_at=None)

    def claimable_by(self, annotator: User | Expression, *, now: datetime | Expression) -> AssignmentQuerySet:
        """Open ones, and those with an expired lease, on prompts new to this annotator."""
        lapsed = Q(state=Assignment.State.LEASED, leased_until__lte=now)
        return self.new_to(annotator).filter(Q(state=Assignment.State.OPEN) | lapsed)

    def new_to(self, annotator: User | Expression) -> AssignmentQuerySet:
        """Opinions, ordinary or of a study, on prompts that this annotator was never assigned."""
        earlier = Assignment.objects.filter(annotator=annotator, prompt=OuterRef("prompt"))
        return self.filter(kind__in=OPINIONS).filter(~Exists(earlier))

    def ordinary(self) -> AssignmentQuerySet:
        """Opinions that the project collects; others compare generators, or assess or train annotators."""
        return self.filter(kind=Assignment.Kind.ORDINARY)

    def work(self) -> AssignmentQuerySet:
        """Ordinary, study, gold and repeated tasks, which look the same to annotators."""
        return self.filter(kind__in=WORK)

    def with_images(self) -> AssignmentQuerySet:
        """Prefetch `images` and `showable` in the same query."""
        fields = {name: f"image__{name}" for name in ("token", "width", "height")}
        generations = Generation.objects.filter(prompt=OuterRef("prompt"), image__isnull=False).order_by("pk")
        images = generations.values(json=JSONObject(generation_id="pk", is_flagged="is_flagged", **fields))
        return self.annotate(files=ArraySubquery(images))  # type: ignore[no-redef]  # declared below

    def finished(self) -> AssignmentQuerySet:
        """Answers that count as preferences."""
        return self.ordinary().filter(state=Assignment.State.ACCEPTED)


class Assignment(models.Model):
    """One judgement to be given on one prompt."""

    class Kind(models.TextChoices):
        ORDINARY = "ordinary"
        STUDY = "study"  # a blind comparison of generators, by the app above
        GOLD = "gold"  # mixed in: compared with the prompt's reference
        REPEAT = "repeat"  # mixed in: compared with the annotator's own earlier answer
        TRAINING = "training"  # before the first task, with feedback
        QUALIFICATION = "qualification"  # the test before the first task
        REFERENCE = "reference", "answered to compare with"  # by a researcher or an admin

    class State(models.TextChoices):
        OPEN = "open"
        LEASED = "leased"
        SUBMITTED = "submitted"  # awaits inspection
        ACCEPTED = "accepted"
        SKIPPED = "skipped"  # skipped by its annotator; a new assignment asks somebody else
        REJECTED = "rejected"  # an inspector sent it back; a new assignment asks somebody else

    project = models.ForeignKey(Project, models.CASCADE, related_name="assignments")
    prompt = models.ForeignKey(Prompt, models.PROTECT, related_name="assignments")
    annotator = models.ForeignKey(User, models.PROTECT, null=True, related_name="assignments")
    kind = models.CharField(max_length=13, choices=Kind, default=Kind.ORDINARY)
    # The answer this one will be compared with.
    against = models.ForeignKey("self", models.PROTECT, null=True, related_name="checks", db_index=False)
    # Identifies it on the annotator's pages: ids would tell a new gold task from one opened long ago.
    token = models.UUIDField(unique=True, db_default=RandomUUID())
    state = models.CharField(max_length=9, choices=State, default=State.OPEN)
    priority = models.IntegerField(default=0)  # the largest is given first; services.priorities
    leased_until = models.DateTimeField(null=True)
    # Generation ids in the order they are shown to this annotator, shuffled when it is claimed.
    order = ArrayField(models.BigIntegerField(), default=list)
    # Of an imported answer: whether `order` is the order shown, as the file says, and the seconds it took.
    is_order_imported = models.BooleanField(default=False)
    imported_seconds = models.FloatField(null=True)
    # When its annotator began it; null while it is leased ahead.
    claimed_at = models.DateTimeField(null=True)
    submitted_at = models.DateTimeField(null=True)
    accepted_at = models.DateTimeField(null=True)  # since when the answer counts as preferences
    revised_at = models.DateTimeField(null=True)  # when its annotator last revised it
    # The unfinished answer, saved as the annotator works: the form's fields as posted.
    draft = models.JSONField(null=True)
    drafted_at = models.DateTimeField(null=True)

    files: list[dict[str, Any]]  # the fields of each ShownImage; set by `with_images` only

    objects = AssignmentQuerySet.as_manager()

    class Meta:
        ordering = ["pk"]
        indexes = [
            models.Index(
                fields=["project", "-priority", "id"],
                condition=Q(state__in=["open", "leased"]),
                name="claimable",
            ),
            models.Index(fields=["project", "state"], name="assignments_by_state"),
            models.Index(fields=["project", "accepted_at"], name="assignments_by_acceptance"),
            models.Index(
                fields=["project", "submitted_at", "id"],
                condition=Q(submitted_at__isnull=False),
                name="answers_as_they_came_in",
            ),
            models.Index(
                fields=["project", "annotator", "submitted_at"],
                condition=Q(against__isnull=False),
                name="checks_of_annotators",
            ),
        ]
        constraints = [
            models.UniqueConstraint(
                fields=["prompt", "annotator"], condition=~Q(kind="repeat"), name="one_opinion_per_annotator"
            ),
            models.UniqueConstraint(
                fields=["prompt", "annotator"], condition=Q(kind="repeat"), name="one_repeat_per_annotator"
            ),
            models.CheckConstraint(
                name="an_assignments_kind_is_known",
                condition=Q(
                    kind__in=["ordinary", "study", "gold", "repeat", "training", "qualification", "reference"]
                ),
            ),
            models.CheckConstraint(
                name="only_checks_are_against_an_answer",
                condition=Q(kind__in=["ordinary", "study", "reference"], against=None)
                | (~Q(kind__in=["ordinary", "study", "reference"]) & Q(against__isnull=False)),
            ),
            models.CheckConstraint(
                name="only_opinions_are_open", condition=Q(kind__in=["ordinary", "study"]) | ~Q(state="open")
            ),
            models.CheckConstraint(
                name="only_open_assignments_have_no_annotator",
                condition=Q(state="open", annotator=None, leased_until=None)
                | (~Q(state="open") & Q(annotator__isnull=False, leased_until__isnull=False)),
            ),
            models.CheckConstraint(
                name="an_answer_has_its_time",
                condition=Q(state__in=["open", "leased", "skipped"], submitted_at=None)
                | Q(state__in=["submitted", "accepted", "rejected"], submitted_at__isnull=False),
            ),
            models.CheckConstraint(
                name="only_accepted_answers_have_been_accepted",
                condition=Q(state="accepted", accepted_at__isnull=False)
                | (~Q(state="accepted") & Q(accepted_at=None)),
            ),
            models.CheckConstraint(
                name="only_a_task_in_hand_has_a_draft",
                condition=Q(state="leased", draft__isnull=False, drafted_at__isnull=False)
                | Q(draft__isnull=True, drafted_at__isnull=True),
            ),
            models.CheckConstraint(
                name="an_imported_answer_took_no_negative_time", condition=Q(imported_seconds__gte=0)
            ),
        ]

    def __str__(self) -> str:
        return f"assignment {self.pk} ({self.state})"

    @property
    def is_order_shown(self) -> bool:
        """Whether `order` is the order in which the annotator saw the images, here or before an import."""
        return self.claimed_at is not None or self.is_order_imported

    @property
    def seconds(self) -> float | None:
        """Seconds from showing the task to its first answer, absences included; None where unknown."""
        if self.claimed_at is None or self.submitted_at is None:
            return self.imported_seconds
        seconds = (self.submitted_at - self.claimed_at).total_seconds()
        return seconds if seconds >= 0 else None  # a clock was set back meanwhile

    @property
    def claim(self) -> str:
        """Identifies the image order that an answer's numbers refer to; the next claim gets another one."""
        return self.claimed_at.isoformat() if self.claimed_at else ""

    @property
    def ready_version(self) -> str:
        """Identifies the task and its order before it has a claim, without revealing ids."""
        return salted_hmac("annotation.ready", f"{self.token} {self.order}").hexdigest()

    @property
    def draft_version(self) -> str:
        """Changes with each saved draft; "" without one."""
        return self.drafted_at.isoformat() if self.drafted_at else ""

    @property
    def version(self) -> str:
        """Changes with each revision of the answer; "" before the first."""
        return self.revised_at.isoformat() if self.revised_at else ""

    @property
    def showable(self) -> list[ShownImage]:
        """The prompt's images with files, in import order; needs `with_images`."""
        return [ShownImage(**fields) for fields in self.files]

    @property
    def images(self) -> list[ShownImage]:
        """The images of this assignment in the order shown; needs `with_images`."""
        by_id = {image.generation_id: image for image in self.showable}
        return [by_id[pk] for pk in self.order]


class Skip(models.Model):
    """A skipped task and the reason; another annotator is asked instead."""

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

"""Work handed out: who judges which prompt, what for, and until when it is theirs."""

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

WORK = ("ordinary", "gold", "repeat")
# What people thought of a prompt when they first saw it, and were not being taught or tested.
COMPARED = ("ordinary", "gold", "reference")


@dataclass(frozen=True)
class ShownImage:
    """What a task's page has to know of an image. Width and height are in pixels."""

    generation_id: int
    token: str
    width: int
    height: int
    is_flagged: bool


class AssignmentQuerySet(models.QuerySet["Assignment"]):
    """The rules of handing out work; each takes a value, or an expression of one."""

    def leased_by(self, annotator: User | Expression) -> AssignmentQuerySet:
        """The one they work on, and the one that lies ready for when it is done."""
        return self.filter(annotator=annotator, state=Assignment.State.LEASED)

    def held_by(self, annotator: User | Expression) -> AssignmentQuerySet:
        """The one they work on."""
        return self.leased_by(annotator).filter(claimed_at__isnull=False)

    def unbegun(self) -> AssignmentQuerySet:
        """Leased to lie ready behind another: nobody has seen them yet."""
        return self.filter(state=Assignment.State.LEASED, claimed_at=None)

    def claimable_by(self, annotator: User | Expression, *, now: datetime | Expression) -> AssignmentQuerySet:
        """Open ones, and those whose lease ran out, on prompts this annotator has not had."""
        lapsed = Q(state=Assignment.State.LEASED, leased_until__lte=now)
        return self.new_to(annotator).filter(Q(state=Assignment.State.OPEN) | lapsed)

    def new_to(self, annotator: User | Expression) -> AssignmentQuerySet:
        """Ordinary ones on prompts this annotator has not had."""
        had = Assignment.objects.filter(annotator=annotator, prompt=OuterRef("prompt"))
        return self.ordinary().filter(~Exists(had))

    def ordinary(self) -> AssignmentQuerySet:
        """Opinions that the project wants; the others measure the people who give them."""
        return self.filter(kind=Assignment.Kind.ORDINARY)

    def work(self) -> AssignmentQuerySet:
        """What annotators are given as work: to them ordinary, gold and repeated tasks look the same."""
        return self.filter(kind__in=WORK)

    def with_images(self) -> AssignmentQuerySet:
        """Each with its `images` and `showable` ones at hand, in the same statement."""
        fields = {name: f"image__{name}" for name in ("token", "width", "height")}
        generations = Generation.objects.filter(prompt=OuterRef("prompt"), image__isnull=False).order_by("pk")
        images = generations.values(json=JSONObject(generation_id="pk", is_flagged="is_flagged", **fields))
        return self.annotate(files=ArraySubquery(images))  # type: ignore[no-redef]  # declared below

    def finished(self) -> AssignmentQuerySet:
        """Answers that count as preferences."""
        return self.ordinary().filter(state=Assignment.State.ACCEPTED)


class Assignment(models.Model):
    """One judgement wanted of one prompt."""

    class Kind(models.TextChoices):
        ORDINARY = "ordinary"
        GOLD = "gold"  # mixed in: the prompt has a reference that the answer is compared with
        REPEAT = "repeat"  # mixed in: a prompt that the annotator judged before
        TRAINING = "training"  # before the first task, with feedback
        QUALIFICATION = "qualification"  # the test before the first task
        REFERENCE = "reference", "answered to compare with"  # by a researcher or an admin

    class State(models.TextChoices):
        OPEN = "open"
        LEASED = "leased"
        SUBMITTED = "submitted"  # waits for an inspector
        ACCEPTED = "accepted"
        SKIPPED = "skipped"  # its annotator passed on it; a new assignment asks somebody else
        REJECTED = "rejected"  # an inspector sent it back; a new assignment asks somebody else

    project = models.ForeignKey(Project, models.CASCADE, related_name="assignments")
    prompt = models.ForeignKey(Prompt, models.PROTECT, related_name="assignments")
    annotator = models.ForeignKey(User, models.PROTECT, null=True, related_name="assignments")
    kind = models.CharField(max_length=13, choices=Kind, default=Kind.ORDINARY)
    # The answer this one will be compared with.
    against = models.ForeignKey("self", models.PROTECT, null=True, related_name="checks", db_index=False)
    # What the annotator's pages call it: ids tell a gold task, made just now, from one opened long ago.
    token = models.UUIDField(unique=True, db_default=RandomUUID())
    state = models.CharField(max_length=9, choices=State, default=State.OPEN)
    priority = models.IntegerField(default=0)  # the largest is given first; services.priorities
    leased_until = models.DateTimeField(null=True)
    # Generation ids in the order they are shown to this annotator, shuffled when it is claimed.
    order = ArrayField(models.BigIntegerField(), default=list)
    # Since when it is before its annotator; null while it lies ready behind the task in hand.
    claimed_at = models.DateTimeField(null=True)
    submitted_at = models.DateTimeField(null=True)
    accepted_at = models.DateTimeField(null=True)  # since when the answer counts as preferences
    revised_at = models.DateTimeField(null=True)  # when its annotator changed it last
    # The unfinished answer, saved as the annotator works: the form's fields as posted.
    draft = models.JSONField(null=True)
    drafted_at = models.DateTimeField(null=True)

    files: list[dict[str, Any]]  # the fields of each ShownImage; of `with_images` only

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
                    kind__in=["ordinary", "gold", "repeat", "training", "qualification", "reference"]
                ),
            ),
            models.CheckConstraint(
                name="only_checks_are_against_an_answer",
                condition=Q(kind__in=["ordinary", "reference"], against=None)
                | (~Q(kind__in=["ordinary", "reference"]) & Q(against__isnull=False)),
            ),
            models.CheckConstraint(
                name="only_ordinary_slots_are_open", condition=Q(kind="ordinary") | ~Q(state="open")
            ),
            models.CheckConstraint(
                name="only_open_slots_are_nobodys",
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
        ]

    def __str__(self) -> str:
        return f"assignment {self.pk} ({self.state})"

    @property
    def claim(self) -> str:
        """Names the order that an answer's numbers go by: whoever claims it next gets another one."""
        return self.claimed_at.isoformat() if self.claimed_at else ""

    @property
    def ready_version(self) -> str:
        """Names the task and its order before it has a claim; ids cannot be read from it."""
        return salted_hmac("annotation.ready", f"{self.token} {self.order}").hexdigest()

    @property
    def draft_version(self) -> str:
        """Changes with each draft that is kept; "" when there is none."""
        return self.drafted_at.isoformat() if self.drafted_at else ""

    @property
    def version(self) -> str:
        """Changes whenever the answer's annotator changes it; "" before."""
        return self.revised_at.isoformat() if self.revised_at else ""

    @property
    def showable(self) -> list[ShownImage]:
        """The prompt's images that have files, as they came; of `with_images` only."""
        return [ShownImage(**fields) for fields in self.files]

    @property
    def images(self) -> list[ShownImage]:
        """The images of this assignment in the order shown; of `with_images` only."""
        known = {image.generation_id: image for image in self.showable}
        return [known[pk] for pk in self.order]


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

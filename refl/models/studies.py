"""Blind studies: generators compared by people, on the same prompts and seeds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from django.db import models
from django.db.models import Count, OuterRef, Q
from django.db.models.functions import Coalesce

from annotation.models import Assignment, Project, Prompt, User
from annotation.models.assignments import REPLACED
from refl.models.generators import Generator
from refl.models.sampling import SamplingRun


@dataclass(frozen=True)
class StudyConfig:
    """How a study asks, and when it stops. All defaults are ours.

    Attributes:
        design: "pairs": a task shows the images of two generators, each two of those compared in turn.
            "rankings": a task shows an image of every generator.
        captions: prompts that images are made of.
        images_per_caption: seeds of each prompt; each is asked about in tasks of its own.
        opinions: annotators asked about each task.
        confidence: of the intervals.
        stops: whether the study closes by itself when it has named a winner, or found no difference.
        margin: no difference: the whole interval of the win rate is so near one half.
    """

    design: str = "pairs"
    captions: int = 100
    images_per_caption: int = 1
    opinions: int = 1
    confidence: float = 0.95
    stops: bool = True
    margin: float = 0.1

    @classmethod
    def from_dict(cls, stored: Mapping[str, Any]) -> StudyConfig:
        names = {field.name for field in fields(cls)}
        return cls(**{name: value for name, value in stored.items() if name in names})

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class StoredRate:
    """A win rate as a study had it, of the generators with these ids: a share of votes, and its interval.

    `value` is a mean over so many prompts, None without a vote. `verdict` is "better", "worse", "equal" or
    "open".
    """

    generator: int
    against: int
    wins: int
    losses: int
    ties: int
    prompts: int
    value: float | None
    low: float
    high: float
    verdict: str


class StudyQuerySet(models.QuerySet["Study"]):
    def with_opinions(self) -> StudyQuerySet:
        """Annotate `wanted`, how many opinions there are to be, and `answered`, how many of these count."""
        of_study = Assignment.objects.filter(prompt__study_task__study=OuterRef("pk"))
        wanted = of_study.exclude(state__in=REPLACED).order_by().values("prompt__study_task__study")
        answered = wanted.filter(state=Assignment.State.ACCEPTED)
        return self.annotate(
            wanted=Coalesce(wanted.annotate(count=Count("pk")).values("count"), 0),
            answered=Coalesce(answered.annotate(count=Count("pk")).values("count"), 0),
        )


class Study(models.Model):
    """A blind comparison of generators. What it asks is in `tasks`, whom it compares in `entries`."""

    class Design(models.TextChoices):
        PAIRS = "pairs", "Pairs"
        RANKINGS = "rankings", "Rankings"

    class State(models.TextChoices):
        DRAWING = "drawing", "Its images are being made"
        OPEN = "open", "Annotators are asked"
        CLOSED = "closed", "Closed"

    project = models.ForeignKey(Project, models.CASCADE, related_name="studies")
    name = models.CharField(max_length=120)
    state = models.CharField(max_length=7, choices=State, default=State.DRAWING)
    reason = models.TextField(blank=True)  # why it was closed
    config = models.JSONField(default=dict)  # a StudyConfig
    # The StoredRates against the base, as they were when it was last looked at and, of a closed one, when it
    # was closed. Null: nobody has looked yet.
    figures = models.JSONField(null=True)
    # What could change its figures, as `study_pulse` has it, when it was last looked at, and when that was.
    pulse = models.JSONField(null=True)
    looked_at = models.DateTimeField(null=True)
    files_until = models.BigIntegerField(default=0)  # the last task whose files were looked at; 0: none
    run = models.OneToOneField(SamplingRun, models.PROTECT, related_name="study")  # makes its images
    generators = models.ManyToManyField(Generator, through="StudyGenerator", related_name="studies")
    opened_by = models.ForeignKey(User, models.PROTECT, null=True, related_name="+")  # null: a command
    created_at = models.DateTimeField(auto_now_add=True)
    opened_at = models.DateTimeField(null=True)  # since when annotators are asked
    closed_at = models.DateTimeField(null=True)
    public_token = models.UUIDField(unique=True, null=True)  # of its public page; null: it has none

    objects = StudyQuerySet.as_manager()

    class Meta:
        ordering = ["-pk"]
        verbose_name_plural = "studies"
        indexes = [models.Index(fields=["id"], condition=~Q(state="closed"), name="studies_under_way")]
        constraints = [
            models.UniqueConstraint(fields=["project", "name"], name="a_study_name_is_used_once"),
            models.CheckConstraint(
                name="a_study_state_is_known", condition=Q(state__in=["drawing", "open", "closed"])
            ),
            models.CheckConstraint(
                name="a_closed_study_says_why",
                condition=(~Q(state="closed") & Q(closed_at=None, reason=""))
                | (Q(state="closed", closed_at__isnull=False) & ~Q(reason="")),
            ),
            models.CheckConstraint(
                name="an_open_study_has_its_time",
                condition=~Q(state="open") | Q(opened_at__isnull=False),
            ),
            models.CheckConstraint(
                name="a_study_drawing_has_asked_nobody", condition=~Q(state="drawing") | Q(opened_at=None)
            ),
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def settings(self) -> StudyConfig:
        return StudyConfig.from_dict(self.config)

    @property
    def rates(self) -> list[StoredRate]:
        """The win rates against the base when it was last looked at, or when it was closed."""
        return [StoredRate(**rate) for rate in self.figures or []]

    @property
    def compared(self) -> list[Generator]:
        """The generators, the base first."""
        return [entry.generator for entry in self.entries.select_related("generator").order_by("place")]


class StudyGenerator(models.Model):
    """A generator in a study. Place 0 is the base, which the others are compared with."""

    study = models.ForeignKey(Study, models.CASCADE, related_name="entries")
    generator = models.ForeignKey(Generator, models.PROTECT, related_name="study_entries")
    place = models.PositiveSmallIntegerField()

    class Meta:
        ordering = ["place"]
        constraints = [
            models.UniqueConstraint(fields=["study", "generator"], name="a_study_has_a_generator_once"),
            models.UniqueConstraint(fields=["study", "place"], name="a_place_in_a_study_is_taken_once"),
        ]

    def __str__(self) -> str:
        return f"{self.generator} in {self.study}"


class StudyTask(models.Model):
    """What a study asks about: images of one text and seed, as a prompt of their own in annotation."""

    study = models.ForeignKey(Study, models.CASCADE, related_name="tasks")
    prompt = models.OneToOneField(Prompt, models.CASCADE, related_name="study_task")
    # Which of the study's prompts, from 0: answers on one are dependent.
    caption = models.PositiveIntegerField()
    seed = models.BigIntegerField()  # the same for each generator
    places = models.JSONField()  # of the generators whose images it shows
    category = models.CharField(max_length=13, blank=True)  # of the text, by earlier labels; "": unknown
    withdrawn = models.TextField(blank=True)  # why it is asked no more; "" while it is

    class Meta:
        ordering = ["pk"]

    def __str__(self) -> str:
        return f"{self.prompt} in {self.study}"

"""Long work on a device, as rows: what was asked, who has it, how far it is."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self, TypeVar

from django.conf import settings
from django.db import models
from django.db.models import Q

from annotation.models import Project

R = TypeVar("R", bound="Run")


class RunQuerySet(models.QuerySet[R]):
    def active(self) -> RunQuerySet[R]:
        """Waiting or at work."""
        return self.filter(state__in=[Run.State.QUEUED, Run.State.RUNNING])

    def silent(self, *, now: datetime) -> RunQuerySet[R]:
        """At work by their row, but their heart has not beaten for too long."""
        return self.filter(
            state=Run.State.RUNNING, heartbeat__lt=now - timedelta(seconds=settings.RUN_SILENCE_SECONDS)
        )

    def startable(self, *, now: datetime) -> RunQuerySet[R]:
        """Queued, and not held back after a crash; the oldest first."""
        held_back = Q(not_before__gt=now)
        return self.filter(~held_back | Q(not_before=None), state=Run.State.QUEUED).order_by("pk")


class RunManager(models.Manager[R]):
    def get_queryset(self) -> RunQuerySet[R]:
        return RunQuerySet(self.model, using=self._db)

    def active(self) -> RunQuerySet[R]:
        return self.get_queryset().active()

    def silent(self, *, now: datetime) -> RunQuerySet[R]:
        return self.get_queryset().silent(now=now)

    def startable(self, *, now: datetime) -> RunQuerySet[R]:
        return self.get_queryset().startable(now=now)


class Run(models.Model):
    """One run. Its row is the truth; `attempt` counts claims and fences off a worker given up for dead.

    A subclass names the `command` that does the work (`manage.py COMMAND --run ID`), the `kind` its folder is
    called after, and as `inputs` the foreign keys to what it works with, each with the word for it. Where it
    measures something, it has a `Point` model of its own whose foreign key is related as `points`.
    """

    class State(models.TextChoices):
        QUEUED = "queued"
        RUNNING = "running"
        FINISHED = "finished"
        FAILED = "failed"
        CANCELLED = "cancelled"

    command: ClassVar[str]
    can_be_shared: ClassVar[bool] = False  # whether several processes can do its work together
    kind: ClassVar[str]
    inputs: ClassVar[dict[str, str]]
    if TYPE_CHECKING:
        points: Any  # the manager of its points

    project = models.ForeignKey(Project, models.CASCADE, related_name="%(class)ss")
    state = models.CharField(max_length=9, choices=State, default=State.QUEUED)
    config = models.JSONField(default=dict)  # the frozen dataclass that configures the run, as JSON
    attempt = models.PositiveIntegerField(default=0)
    crashes = models.PositiveSmallIntegerField(default=0)
    not_before = models.DateTimeField(null=True)  # held back after a crash
    heartbeat = models.DateTimeField(null=True)
    step = models.PositiveIntegerField(default=0)
    steps = models.PositiveIntegerField(default=0)  # 0: not known yet
    cancel_requested = models.BooleanField(default=False)
    error = models.TextField(blank=True)
    created_at = models.DateTimeField(auto_now_add=True)
    started_at = models.DateTimeField(null=True)
    finished_at = models.DateTimeField(null=True)
    seconds = models.FloatField(default=0.0)  # at work, over all attempts
    peak_memory = models.PositiveBigIntegerField(null=True)  # bytes of the largest process of all attempts

    objects: ClassVar[RunManager[Self]] = RunManager()

    class Meta:
        abstract = True
        ordering = ["-pk"]
        indexes = [
            models.Index(
                fields=["id"], condition=Q(state__in=["queued", "running"]), name="%(class)s_active"
            ),
        ]
        constraints = [
            models.CheckConstraint(
                name="%(class)s_state_is_known",
                condition=Q(state__in=["queued", "running", "finished", "failed", "cancelled"]),
            ),
            models.CheckConstraint(
                name="%(class)s_at_work_has_a_heart",
                condition=~Q(state="running") | Q(heartbeat__isnull=False, started_at__isnull=False),
            ),
            models.CheckConstraint(
                name="%(class)s_over_has_its_time",
                condition=Q(state__in=["queued", "running"], finished_at=None)
                | Q(state__in=["finished", "failed", "cancelled"], finished_at__isnull=False),
            ),
        ]

    def __str__(self) -> str:
        return f"{self._meta.verbose_name} {self.pk}"

    @property
    def folder(self) -> Path:
        """Checkpoints, the log and what was made."""
        return Path(settings.RUNS_DIR) / f"{self.kind}-{self.pk}"

    @property
    def log(self) -> Path:
        return self.folder / "log.txt"

    @property
    def page(self) -> str:
        """The URL name of its page; with `cancel-` or `retry-` before it, of what may be done to it."""
        return str(self._meta.verbose_name).replace(" ", "-")

    @property
    def works_with(self) -> dict[str, Any]:
        """Its inputs by their words."""
        return {word: getattr(self, name) for name, word in self.inputs.items()}

    @property
    def steps_done(self) -> str:
        return f"{self.step:,} of {self.steps:,}" if self.steps else f"{self.step:,}"

    @property
    def is_over(self) -> bool:
        return self.state in (self.State.FINISHED, self.State.FAILED, self.State.CANCELLED)


class Point(models.Model):
    """What was measured at one step. A subclass adds `run`, a foreign key related as `points`."""

    step = models.PositiveIntegerField()
    values = models.JSONField()  # name -> number

    class Meta:
        abstract = True
        ordering = ["step"]
        constraints = [models.UniqueConstraint(fields=["run", "step"], name="%(class)s_measures_a_step_once")]

    def __str__(self) -> str:
        return f"step {self.step}"

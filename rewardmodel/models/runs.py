"""Long work on a device, as rows: what was asked, who has it, how far it is."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self, TypeVar

from django.conf import settings
from django.db import models
from django.db.models import Q

from annotation.models import Job, JobManager, JobQuerySet, Project

R = TypeVar("R", bound="Run")


class RunManager(JobManager[R]):
    def startable(self, *, now: datetime) -> JobQuerySet[R]:
        """Queued, and not held back after a crash; the oldest first."""
        return self.queued().filter(Q(not_before=None) | Q(not_before__lte=now))


class Run(Job):
    """One run.

    A subclass names the `command` that does the work (`manage.py COMMAND --run ID`), the `kind` its folder is
    called after, and as `inputs` the foreign keys to what it works with, each with the word for it. Where it
    measures something, it has a `Point` model of its own whose foreign key is related as `points`.
    """

    command: ClassVar[str]
    can_be_shared: ClassVar[bool] = False  # whether several processes can do its work together
    kind: ClassVar[str]
    # So long a run is held back after its first, second ... crash; with one crash more it has failed.
    back_off: ClassVar[tuple[timedelta, ...]] = (timedelta(seconds=10), timedelta(seconds=60))
    inputs: ClassVar[dict[str, str]]
    if TYPE_CHECKING:
        points: Any  # the manager of its points

    project = models.ForeignKey(Project, models.CASCADE, related_name="%(class)ss")
    config = models.JSONField(default=dict)  # the frozen dataclass that configures the run, as JSON
    crashes = models.PositiveSmallIntegerField(default=0)
    not_before = models.DateTimeField(null=True)  # held back after a crash
    step = models.PositiveIntegerField(default=0)
    steps = models.PositiveIntegerField(default=0)  # 0: not known yet
    created_at = models.DateTimeField(auto_now_add=True)
    started_at = models.DateTimeField(null=True)
    seconds = models.FloatField(default=0.0)  # at work, over all attempts
    peak_memory = models.PositiveBigIntegerField(null=True)  # bytes of the largest process of all attempts

    objects: ClassVar[RunManager[Self]] = RunManager()

    class Meta(Job.Meta):
        abstract = True
        constraints = [
            *Job.Meta.constraints,
            models.CheckConstraint(
                name="%(class)s_at_work_has_started",
                condition=~Q(state="running") | Q(started_at__isnull=False),
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

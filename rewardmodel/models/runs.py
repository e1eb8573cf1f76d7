"""Long-running work as rows: its configuration, its state and its progress."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self, TypeVar

from django.conf import settings
from django.db import models
from django.db.models import Q

from annotation.models import Job, JobManager, JobQuerySet, Project, User

R = TypeVar("R", bound="Run")
BECAUSE_LENGTH = 200


class RunManager(JobManager[R]):
    def startable(self, *, now: datetime) -> JobQuerySet[R]:
        """Filter to queued runs that are not waiting after a crash, oldest first."""
        return self.queued().filter(Q(not_before=None) | Q(not_before__lte=now))


class Run(Job):
    """One run.

    A subclass names the `command` that does the work (`manage.py COMMAND --run ID`), the `kind` that its
    folder is named after, and in `inputs` the foreign keys to what it works with, each with its label. If it
    measures anything, it has its own `Point` model whose foreign key has the related name `points`.
    """

    command: ClassVar[str]
    can_be_shared: ClassVar[bool] = False  # whether several processes can do its work together
    can_span_hosts: ClassVar[bool] = False  # and whether some of them may be on other hosts
    kind: ClassVar[str]
    # How long a run waits after its first, second ... crash; after one more crash it has failed.
    back_off: ClassVar[tuple[timedelta, ...]] = (timedelta(seconds=10), timedelta(seconds=60))
    inputs: ClassVar[dict[str, str]]
    if TYPE_CHECKING:
        points: Any  # the manager of its points

    project = models.ForeignKey(Project, models.CASCADE, related_name="%(class)ss")
    config = models.JSONField(default=dict)  # the frozen dataclass that configures the run, as JSON
    crashes = models.PositiveSmallIntegerField(default=0)
    not_before = models.DateTimeField(null=True)  # it waits until then after a crash
    step = models.PositiveIntegerField(default=0)
    steps = models.PositiveIntegerField(default=0)  # 0: not known yet
    requested_by = models.ForeignKey(User, models.SET_NULL, null=True, related_name="+")
    because = models.CharField(max_length=BECAUSE_LENGTH, blank=True)  # what came due, if nobody asked for it
    created_at = models.DateTimeField(auto_now_add=True)
    started_at = models.DateTimeField(null=True)
    seconds = models.FloatField(default=0.0)  # at work, over all attempts
    # Images that it could not read and passed over, by what they are of: {"images": how many it was to use,
    # "unreadable": how many it passed over, "files": the first of them, file -> why}.
    unreadable = models.JSONField(default=dict, db_default={})
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
    def failure(self) -> str:
        """Why it failed: the last line of its error."""
        lines = self.error.strip().splitlines() or ["it does not say why"]
        return lines[-1]

    @property
    def folder(self) -> Path:
        """Where its checkpoints, log and results are."""
        return Path(settings.RUNS_DIR) / f"{self.kind}-{self.pk}"

    @property
    def log(self) -> Path:
        return self.folder / "log.txt"

    @property
    def page(self) -> str:
        """The URL name of its page; with the prefix `cancel-` or `retry-`, that of the action."""
        return str(self._meta.verbose_name).replace(" ", "-")

    @property
    def works_with(self) -> dict[str, Any]:
        """Its inputs by label."""
        return {label: getattr(self, name) for name, label in self.inputs.items()}

    @property
    def steps_done(self) -> str:
        return f"{self.step:,} of {self.steps:,}" if self.steps else f"{self.step:,}"


class Point(models.Model):
    """What was measured at one step. A subclass adds the foreign key `run` with the related name `points`."""

    step = models.PositiveIntegerField()
    values = models.JSONField()  # name -> number

    class Meta:
        abstract = True
        ordering = ["step"]
        constraints = [models.UniqueConstraint(fields=["run", "step"], name="%(class)s_measures_a_step_once")]

    def __str__(self) -> str:
        return f"step {self.step}"

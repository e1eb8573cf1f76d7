"""Durable jobs: which worker has one, its last heartbeat, how it ended."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, ClassVar, Self, TypeVar

from django.conf import settings
from django.db import models
from django.db.models import Q

from annotation import request_ids

J = TypeVar("J", bound="Job")
ACTIVE = ["queued", "running"]
OVER = ["finished", "failed", "cancelled"]


class JobQuerySet(models.QuerySet[J]):
    def create(self, **fields: Any) -> J:
        """Queue a job for the request at hand."""
        return super().create(**{"request_id": request_ids.current(), **fields})

    def active(self) -> JobQuerySet[J]:
        """Queued or running."""
        return self.filter(state__in=ACTIVE)

    def over(self) -> JobQuerySet[J]:
        """Finished, failed or cancelled."""
        return self.filter(state__in=OVER)

    def queued(self) -> JobQuerySet[J]:
        """Waiting for a worker, oldest first."""
        return self.filter(state=Job.State.QUEUED).order_by("pk")

    def at_work(self, *, now: datetime) -> JobQuerySet[J]:
        """Running, with a heartbeat not long ago."""
        return self.filter(state=Job.State.RUNNING, heartbeat__gte=_silent_since(now))

    def silent(self, *, now: datetime) -> JobQuerySet[J]:
        """Running according to their row, but without a heartbeat for too long."""
        return self.filter(state=Job.State.RUNNING, heartbeat__lt=_silent_since(now))


def _silent_since(now: datetime) -> datetime:
    return now - timedelta(seconds=settings.RUN_SILENCE_SECONDS)


JobManager = models.Manager.from_queryset(JobQuerySet)


class Job(models.Model):
    """Work that outlives the process that does it; `annotation.jobs` moves it from state to state.

    Its row is the truth. `attempt` counts claims: it is a fencing token against writes by workers presumed
    dead. A subclass limits the number of claims by `most_attempts`.
    """

    class State(models.TextChoices):
        QUEUED = "queued"
        RUNNING = "running"
        FINISHED = "finished"
        FAILED = "failed"
        CANCELLED = "cancelled"

    most_attempts: ClassVar[int | None] = None  # a job that falls silent in the last attempt has failed

    state = models.CharField(max_length=9, choices=State, default=State.QUEUED)
    attempt = models.PositiveIntegerField(default=0)
    heartbeat = models.DateTimeField(null=True)
    cancel_requested = models.BooleanField(default=False)
    error = models.TextField(blank=True)
    finished_at = models.DateTimeField(null=True)
    losses = models.PositiveIntegerField(default=0, db_default=0)  # times it was taken from a silent worker
    request_id = models.CharField(max_length=request_ids.LENGTH, blank=True, default="", db_default="")

    objects: ClassVar[JobManager[Self]] = JobManager()

    class Meta:
        abstract = True
        ordering = ["-pk"]
        indexes = [models.Index(fields=["id"], condition=Q(state__in=ACTIVE), name="%(class)s_active")]
        constraints = [
            models.CheckConstraint(name="%(class)s_state_is_known", condition=Q(state__in=[*ACTIVE, *OVER])),
            models.CheckConstraint(
                name="%(class)s_at_work_has_a_heart",
                condition=~Q(state="running") | Q(heartbeat__isnull=False),
            ),
            models.CheckConstraint(
                name="%(class)s_over_has_its_time",
                condition=Q(state__in=ACTIVE, finished_at=None)
                | Q(state__in=OVER, finished_at__isnull=False),
            ),
        ]

    @property
    def is_over(self) -> bool:
        return self.state in OVER

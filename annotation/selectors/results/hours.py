"""Working hours, and the answers given in them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import NamedTuple
from zoneinfo import ZoneInfo

from django.conf import settings
from django.db import connection

from annotation.models import Project, User

# Work on a task begins when it is claimed, or when the previous one ends if that is later, because tasks may
# be claimed ahead. One day before the period is read for that. References are not counted as work.
ENDED = """
WITH ended AS (
    SELECT username, kind IN ('training', 'qualification') AS is_lesson, state, at,
        (at AT TIME ZONE %(zone)s)::date AS day,
        EXTRACT(EPOCH FROM at - GREATEST(
            claimed_at, LAG(at) OVER (PARTITION BY annotator_id ORDER BY at, assignment.id)
        ))::float AS seconds
    FROM annotation_assignment AS assignment
    JOIN annotation_user ON annotation_user.id = annotator_id
    LEFT JOIN annotation_skip AS skip ON skip.assignment_id = assignment.id,
    COALESCE(submitted_at, skipped_at) AS at
    WHERE project_id = %(project)s AND claimed_at IS NOT NULL AND kind <> 'reference'
        AND at >= %(begin)s - interval '1 day' AND at < %(end)s {whose}
)
"""
SUMS = """
SELECT username, {day},
    COUNT(*) FILTER (WHERE NOT is_lesson AND state <> 'skipped'),
    COUNT(*) FILTER (WHERE is_lesson),
    COUNT(*) FILTER (WHERE NOT is_lesson AND state = 'accepted'),
    COUNT(*) FILTER (WHERE NOT is_lesson AND state = 'rejected'),
    COUNT(*) FILTER (WHERE state = 'skipped'),
    SUM(LEAST(seconds, %(longest)s)),
    SUM(seconds),
    percentile_cont(0.5) WITHIN GROUP (ORDER BY seconds) FILTER (WHERE NOT is_lesson AND state <> 'skipped')
FROM ended WHERE at >= %(begin)s
GROUP BY {groups} ORDER BY {groups}
"""


@dataclass(frozen=True)
class Period:
    """Whole days in a time zone, both ends included; at most `longest` of each task counts as work."""

    first: date
    last: date
    zone: ZoneInfo
    longest: timedelta

    @property
    def begin(self) -> datetime:
        return datetime.combine(self.first, time.min, self.zone)

    @property
    def end(self) -> datetime:
        return datetime.combine(self.last + timedelta(days=1), time.min, self.zone)


@dataclass(frozen=True)
class Work:
    """One person's work, on one day or in the period (`day` is None).

    Times are in seconds: `counted` has no more than the period's `longest` of any task, `elapsed` has all.
    `tasks` are answers to ordinary, gold and repeated ones, to which `accepted`, `rejected` and `median`
    belong; `lessons` are training and test; the time of those `skipped` counts, too.
    """

    username: str
    day: date | None
    tasks: int
    lessons: int
    accepted: int
    rejected: int
    skipped: int
    counted: float
    elapsed: float
    median: float | None

    @property
    def waiting(self) -> int:
        return self.tasks - self.accepted - self.rejected

    @property
    def hours(self) -> float:
        return self.counted / 3600


class OwnWork(NamedTuple):
    """Answers and working time in seconds, today and since Monday."""

    today: int
    today_seconds: float
    week: int
    week_seconds: float


def work_by_person(project: Project, period: Period) -> list[Work]:
    """Return one row per person who worked in the period, by name, in one query."""
    return list(_sum_work(project, period, day="NULL", groups="username"))


def work_of(annotator: User, project: Project, *, now: datetime, longest: timedelta) -> OwnWork:
    """Return one person's work today and since Monday, in one query. Args: longest: as a Period's."""
    zone = ZoneInfo(settings.TIME_ZONE)
    today = now.astimezone(zone).date()
    week = Period(today - timedelta(days=today.weekday()), today, zone, longest)
    days = list(_sum_work(project, week, day="day", groups="username, day", annotator=annotator))
    return OwnWork(
        today=sum(day.tasks for day in days if day.day == today),
        today_seconds=sum(day.counted for day in days if day.day == today),
        week=sum(day.tasks for day in days),
        week_seconds=sum(day.counted for day in days),
    )


def work_by_day(project: Project, period: Period) -> Iterator[Work]:
    """Return one row per person and day with work, by name, then day, in one query."""
    return _sum_work(project, period, day="day", groups="username, day")


def _sum_work(
    project: Project, period: Period, *, day: str, groups: str, annotator: User | None = None
) -> Iterator[Work]:
    whose = "AND annotator_id = %(annotator)s" if annotator else ""
    values: dict[str, str | int | float | datetime | None] = {
        "project": project.pk,
        "annotator": annotator.pk if annotator else None,
        "zone": period.zone.key,
        "begin": period.begin,
        "end": period.end,
        "longest": period.longest.total_seconds(),
    }
    with connection.cursor() as cursor:
        cursor.execute(ENDED.format(whose=whose) + SUMS.format(day=day, groups=groups), values)
        for row in cursor:
            yield Work(*row)

"""Working hours in a project, for its admins: a page, and tables for payment."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import date

from django.http import HttpResponse, HttpResponseBase
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.http import require_safe

from annotation.access import MemberRequest, admin_required
from annotation.charts import by_day
from annotation.downloads import csv_response
from annotation.forms.quality import PeriodForm
from annotation.models import Project
from annotation.selectors.results.hours import Period, Work, work_by_day, work_by_person

HOURS = "annotation/people/hours.html"
COLUMNS = (
    *("annotator", "first_day", "last_day", "time_zone", "hours", "hours_with_breaks"),
    *(
        "tasks",
        "accepted",
        "sent_back",
        "not_inspected_yet",
        "skipped",
        "training_and_test",
        "median_seconds_a_task",
    ),
)


@require_safe
@admin_required
def hours(request: MemberRequest, project: Project) -> HttpResponse:
    """Show hours and answers by person, and answers by day, of the current month or the requested period."""
    form = PeriodForm.of_query(request.GET, today=timezone.now().date())
    context = {"project": project, "tab": "hours", "form": form}
    if not form.is_valid():
        return render(request, HOURS, context, status=422)
    period = form.period()
    people = work_by_person(project, period)
    total = {
        "hours": sum(person.hours for person in people),
        "tasks": sum(person.tasks for person in people),
        "people": len(people),
    }
    chart = _tasks_by_day(work_by_day(project, period), period)
    return render(request, HOURS, {**context, "people": people, "total": total, "chart": chart})


@require_safe
@admin_required
def hours_table(request: MemberRequest, project: Project) -> HttpResponseBase:
    """Return the hours as CSV, with one row per person, or per person and day."""
    form = PeriodForm.of_query(request.GET, today=timezone.now().date())
    if not form.is_valid():
        return render(request, HOURS, {"project": project, "tab": "hours", "form": form}, status=422)
    period, daily = form.period(), request.GET.get("by") == "day"
    rows = work_by_day(project, period) if daily else work_by_person(project, period)
    kind = "days" if daily else "people"
    name = f"hours-{project.slug}-{period.first}-{period.last}-{kind}.csv"
    return csv_response(_table(rows, period), name=name)


def _table(rows: Iterable[Work], period: Period) -> Iterator[tuple[object, ...]]:
    yield COLUMNS
    for work in rows:
        yield (
            work.username,
            work.day or period.first,
            work.day or period.last,
            period.zone.key,
            round(work.hours, 3),
            round(work.elapsed / 3600, 3),
            work.tasks,
            work.accepted,
            work.rejected,
            work.waiting,
            work.skipped,
            work.lessons,
            "" if work.median is None else round(work.median, 1),
        )


def _tasks_by_day(rows: Iterable[Work], period: Period) -> dict[str, object]:
    counts: Counter[date] = Counter()
    for work in rows:
        if work.day:
            counts[work.day] += work.tasks
    return by_day(
        counts, first=period.first, last=period.last, id="tasks", label="Tasks answered by day", name="tasks"
    )

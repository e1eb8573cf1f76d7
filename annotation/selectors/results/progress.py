"""Progress of a project and of each of its annotators."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any, NamedTuple

from django.db.models import Count, F, Min, OuterRef, Q, QuerySet, Subquery, Sum, Window
from django.db.models.functions import TruncDate

from annotation.models import Assignment, Placement, Project, User
from annotation.models.assignments import REPLACED
from annotation.selectors.projects.images import PICTURE, Picture, harmful

State = Assignment.State
RECENT = timedelta(days=7)  # the pace is measured over these days; ours
DAY = timedelta(days=1)


@dataclass(frozen=True)
class AnnotatorProgress:
    """One person's assignments: `submitted` await inspection; `done` are all ever answered."""

    username: str
    leased: int
    submitted: int
    accepted: int
    rejected: int

    @property
    def done(self) -> int:
        return self.submitted + self.accepted + self.rejected


class WaitingPrompt(NamedTuple):
    """A prompt that is given out soon, and how many of its opinions are open."""

    pk: int
    text: str
    opinions: int


@dataclass(frozen=True)
class NewAnswer:
    """An answer with the images in its best slot: several where they tie, none where they have no file."""

    assignment: Assignment
    best: list[Picture]


class Day(NamedTuple):
    """Answers submitted on one day, in UTC."""

    day: date
    answers: int


@dataclass(frozen=True)
class ProjectProgress:
    """`pairs` and `ties` count pairs of images in finished rankings: in different slots, and in the same one.

    `assignments` has every state; `days` are those with answers, oldest first; `pace` is in answers per day.
    """

    prompts: int
    images: int
    assignments: dict[str, int]
    finished: int
    pairs: int
    ties: int
    annotators: list[AnnotatorProgress]
    days: list[Day]
    pace: float

    @property
    def wanted(self) -> int:
        """The final number of answers; rejected and skipped assignments are replaced by new ones."""
        return sum(count for state, count in self.assignments.items() if state not in REPLACED)

    @property
    def days_left(self) -> float | None:
        """Days until everything is answered at this pace; None without a pace or without remaining work."""
        remaining = self.assignments[State.OPEN] + self.assignments[State.LEASED]
        return remaining / self.pace if remaining and self.pace else None


def project_progress(project: Project, *, now: datetime) -> ProjectProgress:
    """Return everything the progress page shows, in seven queries. Only counts by person include checks."""
    ordinary = Assignment.objects.ordinary().filter(project=project)
    states = dict.fromkeys(State.values, 0) | dict(
        ordinary.order_by().values_list("state").annotate(Count("pk"))
    )
    pairs, ties = count_pairs(project)
    sizes = project.prompts.aggregate(prompts=Count("pk", distinct=True), images=Count("generations"))
    answers = ordinary.filter(submitted_at__isnull=False)
    days = (
        answers.order_by()
        .annotate(day=TruncDate("submitted_at"))
        .values_list("day")
        .annotate(Count("pk"))
        .order_by("day")
    )
    return ProjectProgress(
        prompts=sizes["prompts"],
        images=sizes["images"],
        assignments=states,
        finished=states[State.ACCEPTED],
        pairs=pairs,
        ties=ties,
        annotators=annotators_progress(project),
        days=[Day(*row) for row in days],
        pace=answers_a_day(answers, now),
    )


def waiting_prompts(project: Project, *, count: int) -> list[WaitingPrompt]:
    """Return the prompts whose open opinions are given out next, in one query."""
    line = Assignment.objects.ordinary().filter(project=project, state=State.OPEN)
    of_prompt = line.filter(prompt=OuterRef("prompt")).order_by().values("prompt")
    opinions = Subquery(of_prompt.annotate(count=Count("pk")).values("count"))
    next_in_line = line.order_by("-priority", "pk").values_list("prompt_id", "prompt__text", opinions)
    most = project.opinions_per_prompt + project.extra_opinions  # of a prompt, one after another at worst
    waiting: dict[int, WaitingPrompt] = {}
    for row in next_in_line[: most * count]:
        waiting.setdefault(row[0], WaitingPrompt(*row))
    return list(waiting.values())[:count]


def newest_answers(project: Project, *, count: int) -> list[NewAnswer]:
    """Return the opinions submitted last, newest first, with what each places best; in two queries."""
    answers = (
        Assignment.objects.ordinary()
        .filter(project=project, submitted_at__isnull=False)
        .select_related("annotator", "prompt")
        .order_by("-submitted_at", "-pk")[:count]
    )
    assignments = list(answers)
    best: dict[int, list[Picture]] = {assignment.pk: [] for assignment in assignments}
    first = Window(Min("slot"), partition_by="ranking")
    placements = (
        Placement.objects.filter(ranking__assignment__in=[assignment.pk for assignment in assignments])
        .annotate(first=first, is_harmful=harmful("generation"))
        .filter(slot=F("first"), generation__image__isnull=False)
        .order_by("generation__image__token")
        .values_list("ranking__assignment", *(f"generation__{name}" for name in PICTURE[:-1]), "is_harmful")
    )
    for assignment, *fields in placements:
        best[assignment].append(Picture(*fields))
    return [NewAnswer(assignment, best[assignment.pk]) for assignment in assignments]


def answers_a_day(answers: QuerySet[Assignment], now: datetime) -> float:
    """Return recent answers per day; a project's first hours count as a whole day."""
    counts = answers.aggregate(
        first=Min("submitted_at"), recent=Count("pk", filter=Q(submitted_at__gt=now - RECENT))
    )
    age = now - counts["first"] if counts["first"] else DAY
    return float(counts["recent"] / (min(RECENT, max(DAY, age)) / DAY))


def annotator_progress(user: User, project: Project) -> AnnotatorProgress:
    """Return one person's counts, in one query."""
    return next(iter(annotators_progress(project, user)), AnnotatorProgress(user.username, 0, 0, 0, 0))


def count_pairs(project: Project) -> tuple[int, int]:
    """Count pairs of images in finished rankings: (in different slots, in the same slot)."""
    placements = Placement.objects.filter(
        ranking__assignment__project=project,
        ranking__assignment__kind=Assignment.Kind.ORDINARY,
        ranking__assignment__state=State.ACCEPTED,
    ).order_by()
    pairs = _count_pairs_within(placements.values("ranking"))
    ties = _count_pairs_within(placements.values("ranking", "slot"))
    return pairs - ties, ties


def _count_pairs_within(groups: QuerySet[Placement, Any]) -> int:
    """Count pairs of placements in the same group; `groups` are placements' values to group by."""
    sizes = groups.annotate(size=Count("pk"))
    return sizes.aggregate(pairs=Sum(F("size") * (F("size") - 1) / 2))["pairs"] or 0


def annotators_progress(project: Project, user: User | None = None) -> list[AnnotatorProgress]:
    """Return people with work in the project, including checks, those with most answers first."""
    owned = Q(annotator=user) if user else Q(annotator__isnull=False)
    counts = {
        f"in_{state}": Count("pk", filter=Q(state=state))
        for state in (State.LEASED, State.SUBMITTED, State.ACCEPTED, State.REJECTED)
    }
    work = Assignment.objects.work().filter(owned, project=project)
    rows = work.order_by().values_list("annotator__username")
    people = [AnnotatorProgress(*row) for row in rows.annotate(**counts)]
    return sorted(people, key=lambda person: (-person.done, person.username))

"""Handing out work: opening assignments on prompts, leasing them one at a time, keeping drafts."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Iterable
from datetime import datetime, timedelta
from functools import cache
from typing import Any, NoReturn

from django.db import models, transaction
from django.db.models import Count, Exists, F, OrderBy, OuterRef, Q, Subquery
from django.db.models.expressions import RawSQL
from django.db.models.functions import Coalesce

from annotation.access import is_qualified, newest_outcome, pause_reason
from annotation.metrics import lease_losses
from annotation.models import Action, Assignment, Project, Prompt, User
from annotation.models.assignments import REPLACED, AssignmentQuerySet
from annotation.services.actions import record_action
from annotation.services.assignments.priorities import priorities
from annotation.services.checks.checks import draw_check
from annotation.statements import Parameter, Statement, fetch_one, select

State = Assignment.State
PROJECT, ANNOTATOR = Parameter("project"), Parameter("annotator")
AHEAD = timedelta(minutes=5)  # how long a task lies ready behind the one in hand; ours


class LeaseLost(Exception):
    """The assignment is another's, or closed."""


def refuse_lost_lease() -> NoReturn:
    """Raises: LeaseLost, and counts it."""
    lease_losses.inc()
    raise LeaseLost


@transaction.atomic
def open_assignments(
    *, prompts: Iterable[Prompt], by: User | None = None, because: str = ""
) -> list[Assignment]:
    """Ask for what lacks of the project's number of opinions on each prompt that can be ranked.

    A prompt can be ranked when it has at least 2 images, no more than the project's slots hold, and none of
    their files is missing. It lacks opinions when it was never asked about, or when some were withdrawn. A
    prompt that only has checks, training or references is left to these.

    Args: by, because: who asked, or why where nobody did, for the log; neither where the caller writes it.
    """
    queryset = Prompt.objects.filter(pk__in=[prompt.pk for prompt in prompts])
    # Lock the projects before reading their settings: two calls must not both find no assignments, and
    # settings may change until assignments are open.
    projects = Project.objects.filter(pk__in=queryset.order_by().values("project")).order_by("pk")
    list(projects.select_for_update(no_key=True).values_list("pk"))
    assignments = Assignment.objects.filter(prompt=OuterRef("pk"))
    asked = assignments.ordinary().exclude(state__in=REPLACED).order_by()
    counted = asked.values("prompt").annotate(count=Count("pk")).values("count")
    rankable = (
        queryset.filter(~Exists(assignments) | Exists(assignments.ordinary()))
        .select_related("project")
        .annotate(images=Count("generations"), files=Count("generations__image"))
        .annotate(asked=Coalesce(Subquery(counted), 0))
        .filter(images__gte=2, files=F("images"), images__lte=F("project__slots") * F("project__per_slot"))
        .filter(asked__lt=F("project__opinions_per_prompt"))
    )
    lacking: dict[Project, dict[int, range]] = defaultdict(dict)
    for prompt in rankable.order_by("pk"):
        lacking[prompt.project][prompt.pk] = range(prompt.asked, prompt.project.opinions_per_prompt)
    opened = []
    for project, opinions in lacking.items():
        opened += Assignment.objects.bulk_create(
            Assignment(project=project, prompt_id=pk, priority=priority)
            for pk, its_priorities in priorities(project, opinions).items()
            for priority in its_priorities
        )
    if (by or because) and opened:
        project = opened[0].project
        details = {"because": because} if because else {}
        record_action(
            Action.Kind.WORK_OPENED,
            project=project,
            by=by,
            subject=f"{len(opened)} opinions",
            prompt_ids=(assignment.prompt_id for assignment in opened),
            **details,
        )
    return opened


@transaction.atomic
def withdraw_open(*, project: Project, by: User | None = None) -> int:
    """Ask no longer for the opinions that nobody has begun, and return how many these were.

    What is in somebody's hands stays theirs. `open_assignments` asks for them again.
    """
    opened = Assignment.objects.ordinary().filter(project=project, state=State.OPEN)
    # Locked first: one that is claimed meanwhile is passed over.
    ids = list(opened.select_for_update(skip_locked=True).values_list("pk", flat=True))
    Assignment.objects.filter(pk__in=ids).delete()
    if ids:
        record_action(Action.Kind.WORK_WITHDRAWN, project=project, by=by, subject=f"{len(ids)} opinions")
    return len(ids)


@cache
def _lock() -> str:
    """Lock the annotator, so that concurrent requests of one annotator run one after another."""
    locked = User.objects.filter(pk=ANNOTATOR).select_for_update(no_key=True)
    paused, outcome = pause_reason(PROJECT, ANNOTATOR), newest_outcome(PROJECT, ANNOTATOR)
    return select(locked.values_list(Exists(paused), Subquery(outcome)))


def _lease_first() -> str:
    """Return the CTEs that lease one assignment and name the updated row `annotation_assignment`.

    1. held: the annotator's current assignment, its lease renewed, or else the one leased ahead for them.
       This waits for its lock, which a draft being saved may hold. Rows locked by others are skipped.
    2. free: or else the first claimable assignment, reshuffled and without the draft of another annotator.
    3. unbegun: or else one that is only leased ahead for somebody else.

    With `begins` false, the assignment is leased ahead. Assignments that others have begun are not taken for
    that: a late answer still counts, and the draft stays, until somebody else begins the assignment.
    """
    begins = Q(Parameter("begins", models.BooleanField()))
    assignments = Assignment.objects.filter(project=PROJECT)
    held = assignments.leased_by(ANNOTATOR).filter(begins | Q(claimed_at=None))
    free = assignments.claimable_by(ANNOTATOR, now=Parameter("now"))
    free = free.filter(begins | Q(claimed_at=None) | Q(state=State.OPEN), _none("held"))
    unbegun = assignments.new_to(ANNOTATOR).unbegun().filter(begins, _none("held"), _none("free"))
    return f"""
        WITH held AS (
            {_first(held, F("claimed_at").asc(nulls_last=True), "pk")} FOR UPDATE
        ), free AS (
            {_first(free, "-priority", "pk")} FOR UPDATE SKIP LOCKED
        ), unbegun AS (
            {_first(unbegun, "-priority", "pk")} FOR UPDATE SKIP LOCKED
        ), chosen AS (
            SELECT id, true AS is_held FROM held
            UNION ALL SELECT id, false FROM free
            UNION ALL SELECT id, false FROM unbegun
        ), annotation_assignment AS (
            UPDATE annotation_assignment AS assignment
            SET state = 'leased', annotator_id = %(annotator)s, leased_until = %(until)s,
                claimed_at = CASE
                    WHEN NOT %(begins)s THEN NULL
                    WHEN is_held THEN COALESCE(claimed_at, %(now)s)
                    ELSE %(now)s
                END,
                draft = CASE WHEN is_held THEN draft END,
                drafted_at = CASE WHEN is_held THEN drafted_at END,
                "order" = CASE WHEN is_held THEN "order" ELSE ARRAY(
                    SELECT generation.id FROM annotation_generation AS generation
                    WHERE generation.prompt_id = assignment.prompt_id AND generation.image_id IS NOT NULL
                    ORDER BY hashint8extended(generation.id, %(seed)s)
                ) END
            FROM chosen WHERE assignment.id = chosen.id
            RETURNING assignment.*
        )
    """


def _none(table: str) -> RawSQL:
    return RawSQL(f"NOT EXISTS (SELECT FROM {table})", (), models.BooleanField())


def _first(assignments: AssignmentQuerySet, *order: str | OrderBy) -> str:
    return select(assignments.order_by(*order).values("id")[:1])


CLAIMED = Statement(
    lambda: Assignment.objects.order_by().select_related("prompt").with_images(), ahead=_lease_first
)


@transaction.atomic
def claim_next(
    *, annotator: User, project: Project, now: datetime, generator: random.Random
) -> Assignment | None:
    """Lease the annotator their next assignment, with its images prefetched; return None when none is left.

    Paused annotators get none, nor do unqualified ones where the project requires qualification.
    Calling this again returns the same assignment with its lease renewed and its order unchanged. An
    assignment from `claim_ahead` comes first. Assignments being claimed concurrently are skipped. One whose
    lease expired with another annotator is reshuffled and loses the draft. Images without files are not
    shown. As long as there is new work, checks are mixed in.
    """
    if not _may_claim(annotator, project):
        return None
    return _begin(annotator, project, now=now, generator=generator)


@transaction.atomic
def claim_ahead(
    *, annotator: User, project: Project, now: datetime, generator: random.Random
) -> Assignment | None:
    """Lease what `claim_next` will return after the current assignment, so that its page can be prefetched.

    No working time is counted until it is begun. The lease is short, and an annotator for whom nothing else
    is left can claim the assignment at once.
    """
    if not _may_claim(annotator, project):
        return None
    return _look_ahead(annotator, project, now=now, generator=generator)


@transaction.atomic
def claim_with_ahead(
    *, annotator: User, project: Project, now: datetime, generator: random.Random
) -> tuple[Assignment | None, Assignment | None]:
    """Lease what `claim_next` returns, and behind it what `claim_ahead` returns, at the price of one lock."""
    if not _may_claim(annotator, project):
        return None, None
    begun = _begin(annotator, project, now=now, generator=generator)
    return begun, begun and _look_ahead(annotator, project, now=now, generator=generator)


def _may_claim(annotator: User, project: Project) -> bool:
    """Lock the annotator until the transaction's end, and return whether they get tasks."""
    row = fetch_one(_lock(), {"annotator": annotator.pk, "project": project.pk})
    assert row is not None  # accounts are not deleted
    is_paused, outcome = row
    return not is_paused and is_qualified(project, outcome)


def _begin(
    annotator: User, project: Project, *, now: datetime, generator: random.Random
) -> Assignment | None:
    return _claim(annotator, project, now=now, until=now + project.lease, begins=True, generator=generator)


def _look_ahead(
    annotator: User, project: Project, *, now: datetime, generator: random.Random
) -> Assignment | None:
    until = now + min(AHEAD, project.lease)
    return _claim(annotator, project, now=now, until=until, begins=False, generator=generator)


def _claim(
    annotator: User,
    project: Project,
    *,
    now: datetime,
    until: datetime,
    begins: bool,
    generator: random.Random,
) -> Assignment | None:
    check = draw_check(annotator=annotator, project=project, generator=generator)
    if check is not None:
        check.claimed_at, check.leased_until = now if begins else None, until
        _lease_check(check, annotator=annotator, now=now, generator=generator)
    assignment = CLAIMED.first(
        project=project.pk,
        annotator=annotator.pk,
        now=now,
        until=until,
        begins=begins,
        seed=generator.getrandbits(63),
    )
    if assignment is not None:
        assignment.project = assignment.prompt.project = project
    return assignment


def _lease_check(check: Assignment, *, annotator: User, now: datetime, generator: random.Random) -> None:
    """Lease the check to the annotator if they hold no assignment and there is new work for them."""
    assignments = Assignment.objects.filter(project=check.project)
    leased = assignments.leased_by(annotator)
    if not check.claimed_at:
        leased = leased.unbegun()
    if leased.exists() or not assignments.claimable_by(annotator, now=now).exists():
        return
    assert check.against is not None
    check.state, check.annotator = State.LEASED, annotator
    check.order = list(check.against.order)
    generator.shuffle(check.order)
    check.save()


def save_draft(*, assignment: Assignment, annotator: User, answer: dict[str, Any], now: datetime) -> None:
    """Save an unfinished answer, replacing the previous draft, and renew the lease.

    Raises: LeaseLost when the annotator no longer holds the assignment.
    """
    lease = Assignment.objects.held_by(annotator).filter(pk=assignment.pk)
    if lease.update(draft=answer, drafted_at=now, leased_until=now + assignment.project.lease) != 1:
        refuse_lost_lease()
    assignment.draft, assignment.drafted_at = answer, now

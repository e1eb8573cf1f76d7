"""Handing out work: opening assignments on prompts, leasing them one at a time, keeping drafts."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Iterable
from datetime import datetime, timedelta
from functools import cache
from typing import Any

from django.db import models, transaction
from django.db.models import Count, Exists, F, OrderBy, OuterRef, Q, Subquery
from django.db.models.expressions import RawSQL

from annotation.access import is_qualified, newest_outcome, pause_reason
from annotation.models import Action, Assignment, Project, Prompt, User
from annotation.models.assignments import AssignmentQuerySet
from annotation.services.actions import record_action
from annotation.services.assignments.priorities import first_priorities
from annotation.services.checks.checks import draw_check
from annotation.statements import Parameter, Statement, fetch_one, select

State = Assignment.State
PROJECT, ANNOTATOR = Parameter("project"), Parameter("annotator")
AHEAD = timedelta(minutes=5)  # how long a task lies ready behind the one in hand; ours


class LeaseLost(Exception):
    """The assignment is another's, or closed."""


@transaction.atomic
def open_assignments(*, prompts: Iterable[Prompt], by: User | None = None) -> list[Assignment]:
    """Ask for the project's number of opinions on each prompt that can be ranked and has no assignment yet.

    A prompt can be ranked when it has 2 images at least and no more than the project's slots hold, and the
    files of all of them.

    Args: by: who asked, for the log; None: whoever calls this logs more than that.
    """
    wanted = Prompt.objects.filter(pk__in=[prompt.pk for prompt in prompts])
    # Two openers must not both find none; and a change of settings, which is free while nothing is open,
    # waits for this or this for it, before they are read below.
    projects = Project.objects.filter(pk__in=wanted.order_by().values("project")).order_by("pk")
    list(projects.select_for_update(no_key=True).values_list("pk"))
    rankable = (
        wanted.filter(~Exists(Assignment.objects.filter(prompt=OuterRef("pk"))))
        .select_related("project")
        .annotate(images=Count("generations"), files=Count("generations__image"))
        .filter(images__gte=2, files=F("images"), images__lte=F("project__slots") * F("project__per_slot"))
    )
    by_project: dict[Project, list[Prompt]] = defaultdict(list)
    for prompt in rankable.order_by("pk"):
        by_project[prompt.project].append(prompt)
    opened = []
    for project, its_prompts in by_project.items():
        priorities = first_priorities(project, [prompt.pk for prompt in its_prompts])
        opened += Assignment.objects.bulk_create(
            Assignment(project=project, prompt=prompt, priority=priority)
            for prompt in its_prompts
            for priority in priorities[prompt.pk]
        )
    if by and opened:
        project = opened[0].project
        record_action(Action.Kind.WORK_OPENED, project=project, by=by, subject=f"{len(opened)} opinions")
    return opened


@cache
def _lock() -> str:
    """Lock the annotator: two of their requests wait here for each other."""
    locked = User.objects.filter(pk=ANNOTATOR).select_for_update(no_key=True)
    paused, outcome = pause_reason(PROJECT, ANNOTATOR), newest_outcome(PROJECT, ANNOTATOR)
    return select(locked.values_list(Exists(paused), Subquery(outcome)))


def _lease_first() -> str:
    """Lease one assignment, and call what it is then `annotation_assignment`, for the SELECT behind this.

    1. held: the annotator's own, its lease renewed, or else the one that lies ready for them. It is waited
       for: a draft on its way locks it, and must not cost them the task. Others' locks are passed over.
    2. free: or else the first that is claimable, shuffled anew and without another's draft.
    3. unbegun: or else one that only lies ready for others.

    With `begins` false it is to lie ready for this annotator. What others have begun is not taken for that:
    their late answer counts, and their draft stays, until somebody begins anew.
    """
    begins = Q(Parameter("begins", models.BooleanField()))
    wanted = Assignment.objects.filter(project=PROJECT)
    held = wanted.leased_by(ANNOTATOR).filter(begins | Q(claimed_at=None))
    free = wanted.claimable_by(ANNOTATOR, now=Parameter("now"))
    free = free.filter(begins | Q(claimed_at=None) | Q(state=State.OPEN), _none("held"))
    unbegun = wanted.new_to(ANNOTATOR).unbegun().filter(begins, _none("held"), _none("free"))
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
    """Lease the annotator one prompt to judge, its images at hand; None when none is left for them.

    There is none for the paused and, where the project asks for it, for the unqualified.
    Asking again returns the same assignment, its lease renewed and its order kept; one that lies ready since
    `claim_ahead` is begun before others. Those being claimed elsewhere are passed over. One whose lease ran
    out in other hands is shuffled anew and loses the other's draft. Images that came in without their files
    are not shown. As long as there is new work, checks are mixed in.
    """
    return _claim(annotator, project, now=now, until=now + project.lease, begins=True, generator=generator)


@transaction.atomic
def claim_ahead(
    *, annotator: User, project: Project, now: datetime, generator: random.Random
) -> Assignment | None:
    """Lease what `claim_next` will give once the task in hand is done, so that its page can lie ready.

    Until it is begun, nobody's time on it runs. It goes back soon, and to who finds nothing else at once.
    """
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
    row = fetch_one(_lock(), {"annotator": annotator.pk, "project": project.pk})
    assert row is not None  # accounts are not deleted
    is_paused, outcome = row
    if is_paused or not is_qualified(project, outcome):
        return None
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
    """Put the check into the annotator's hands, if nothing is there and there is new work for them."""
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
    """Keep an unfinished answer in place of the one kept before, and renew the lease.

    Raises: LeaseLost when the assignment is not the annotator's any more.
    """
    held = Assignment.objects.held_by(annotator).filter(pk=assignment.pk)
    if held.update(draft=answer, drafted_at=now, leased_until=now + assignment.project.lease) != 1:
        raise LeaseLost
    assignment.draft, assignment.drafted_at = answer, now

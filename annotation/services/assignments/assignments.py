"""Handing out work: opening slots on prompts, leasing them one at a time, keeping drafts."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction
from django.db.models import Count, Exists, F, OuterRef

from annotation.models import Action, Assignment, Project, Prompt, User
from annotation.selectors.assignments.assignments import SHOWN, task_of
from annotation.selectors.assignments.standings import locked_for_work
from annotation.services.actions import record_action
from annotation.services.assignments.priorities import first_priorities
from annotation.services.checks.checks import draw_check
from annotation.statements import columns, fetch_one

AHEAD = timedelta(minutes=5)  # how long a task lies ready behind the one in hand; ours


class LeaseLost(Exception):
    """The slot is another's, or closed."""


@transaction.atomic
def open_assignments(*, prompts: Iterable[Prompt], by: User | None = None) -> list[Assignment]:
    """Ask for the project's number of opinions on each prompt that can be ranked and has no slot yet.

    A prompt can be ranked when it has 2 images at least and no more than the project's slots hold, and the
    files of all of them.

    Args: by: who asked, for the log; None: whoever calls this logs more than that.
    """
    wanted = Prompt.objects.filter(pk__in=[prompt.pk for prompt in prompts])
    # Two openers must not both find none; and settings, which are free while nothing is open, wait for us or
    # we for them, before they are read below.
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
    for project, ours in by_project.items():
        priorities = first_priorities(project, [prompt.pk for prompt in ours])
        opened += Assignment.objects.bulk_create(
            Assignment(project=project, prompt=prompt, priority=priority)
            for prompt in ours
            for priority in priorities[prompt.pk]
        )
    if by and opened:
        project = opened[0].project
        record_action(Action.Kind.WORK_OPENED, project=project, by=by, subject=f"{len(opened)} opinions")
    return opened


# Give the task in hand, its lease renewed, or else the one that lies ready; else lease the first slot that
# is free, shuffled anew and without another's draft; and where none is free, what only lies ready for others.
# With `begins` false: what is to lie ready for this annotator. What another has begun is not: their late
# answer counts, and their draft stays, until somebody begins anew.
# The annotator's slot is waited for, as a draft on its way locks it and must not cost them the task; what
# others are claiming at this moment is passed over.
CLAIM = f"""
    WITH held AS (
        SELECT slot.id FROM annotation_assignment AS slot
        WHERE slot.project_id = %(project)s AND slot.annotator_id = %(annotator)s AND slot.state = 'leased'
            AND (%(begins)s OR slot.claimed_at IS NULL)
        ORDER BY slot.claimed_at NULLS LAST, slot.id LIMIT 1
        FOR UPDATE
    ), free AS (
        SELECT slot.id FROM annotation_assignment AS slot
        WHERE NOT EXISTS (SELECT FROM held)
            AND slot.project_id = %(project)s AND slot.kind = 'ordinary'
            AND (slot.state = 'open' OR (slot.state = 'leased' AND slot.leased_until <= %(now)s))
            AND (%(begins)s OR slot.claimed_at IS NULL OR slot.state = 'open')
            AND NOT EXISTS (
                SELECT FROM annotation_assignment AS had
                WHERE had.prompt_id = slot.prompt_id AND had.annotator_id = %(annotator)s
            )
        ORDER BY slot.priority DESC, slot.id LIMIT 1
        FOR UPDATE SKIP LOCKED
    ), unbegun AS (
        SELECT slot.id FROM annotation_assignment AS slot
        WHERE %(begins)s AND NOT EXISTS (SELECT FROM held) AND NOT EXISTS (SELECT FROM free)
            AND slot.project_id = %(project)s AND slot.kind = 'ordinary'
            AND slot.state = 'leased' AND slot.claimed_at IS NULL
            AND NOT EXISTS (
                SELECT FROM annotation_assignment AS had
                WHERE had.prompt_id = slot.prompt_id AND had.annotator_id = %(annotator)s
            )
        ORDER BY slot.priority DESC, slot.id LIMIT 1
        FOR UPDATE SKIP LOCKED
    ), chosen AS (
        SELECT held.id, true AS is_held FROM held
        UNION ALL SELECT free.id, false FROM free UNION ALL SELECT unbegun.id, false FROM unbegun
    ), claimed AS (
        UPDATE annotation_assignment AS slot
        SET state = 'leased', annotator_id = %(annotator)s, leased_until = %(until)s,
            claimed_at = CASE
                WHEN NOT %(begins)s THEN NULL WHEN is_held THEN COALESCE(claimed_at, %(now)s) ELSE %(now)s
            END,
            draft = CASE WHEN is_held THEN draft END,
            drafted_at = CASE WHEN is_held THEN drafted_at END,
            "order" = CASE WHEN is_held THEN "order" ELSE ARRAY(
                SELECT made.id FROM annotation_generation AS made
                WHERE made.prompt_id = slot.prompt_id AND made.image_id IS NOT NULL
                ORDER BY hashint8extended(made.id, %(seed)s)
            ) END
        FROM chosen WHERE slot.id = chosen.id
        RETURNING slot.*
    )
    SELECT {columns(Assignment, "claimed")}, {columns(Prompt, "prompt")}, {SHOWN}
    FROM claimed JOIN annotation_prompt AS prompt ON prompt.id = claimed.prompt_id
"""


@transaction.atomic
def claim_next(
    *, annotator: User, project: Project, now: datetime, generator: random.Random
) -> Assignment | None:
    """Lease the annotator one prompt to judge, its images at hand; None when none is left for them.

    There is none for the paused and, where the project asks for it, for the unqualified.
    Asking again returns the same slot, its lease renewed and its order kept; one that lies ready since
    `claim_ahead` is begun before others. Slots being claimed elsewhere
    are passed over. A slot whose lease ran out in other hands is shuffled anew and loses the other's draft.
    Images that came in without their files are not shown. As long as there is new work, checks are mixed in.
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
    if not locked_for_work(annotator, project):  # locked: two tabs must not get two prompts
        return None
    check = draw_check(annotator=annotator, project=project, generator=generator)
    if check is not None:
        check.claimed_at, check.leased_until = now if begins else None, until
        _lease_check(check, annotator=annotator, now=now, generator=generator)
    row = fetch_one(
        CLAIM,
        {
            "project": project.pk,
            "annotator": annotator.pk,
            "now": now,
            "until": until,
            "begins": begins,
            "seed": generator.getrandbits(63),
        },
    )
    return task_of(project, row) if row else None


def _lease_check(check: Assignment, *, annotator: User, now: datetime, generator: random.Random) -> None:
    """Put the check into the annotator's hands, if nothing is there and there is new work for them."""
    slots = Assignment.objects.filter(project=check.project)
    mine = slots.leased_by(annotator)
    there = mine if check.claimed_at else mine.filter(claimed_at=None)
    if there.exists() or not slots.claimable_by(annotator, now=now).exists():
        return
    assert check.against is not None
    check.state, check.annotator = Assignment.State.LEASED, annotator
    check.order = list(check.against.order)
    generator.shuffle(check.order)
    check.save()


def save_draft(*, assignment: Assignment, annotator: User, answer: dict[str, Any], now: datetime) -> None:
    """Keep an unfinished answer in place of the one kept before, and renew the lease.

    Raises: LeaseLost when the slot is not the annotator's any more.
    """
    mine = Assignment.objects.held_by(annotator).filter(pk=assignment.pk)
    if mine.update(draft=answer, drafted_at=now, leased_until=now + assignment.project.lease) != 1:
        raise LeaseLost
    assignment.draft, assignment.drafted_at = answer, now

"""Handing out work: opening slots on prompts, leasing them one at a time, keeping drafts."""

from __future__ import annotations

import random
from collections.abc import Iterable
from datetime import datetime
from typing import Any

from django.db import transaction
from django.db.models import Count, Exists, F, OuterRef

from annotation.models import Assignment, Project, Prompt, User
from annotation.selectors.standings import locked_for_work
from annotation.services.checks import draw_check


class LeaseLost(Exception):
    """The slot is another's, or closed."""


@transaction.atomic
def open_assignments(*, prompts: Iterable[Prompt]) -> list[Assignment]:
    """Ask for the project's number of opinions on each prompt that can be ranked and has no slot yet.

    A prompt can be ranked when it has 2 images at least and no more than the project's slots hold, and the
    files of all of them.
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
    return Assignment.objects.bulk_create(
        Assignment(project=prompt.project, prompt=prompt)
        for prompt in rankable.order_by("pk")
        for _ in range(prompt.project.opinions_per_prompt)
    )


@transaction.atomic
def claim_next(
    *, annotator: User, project: Project, now: datetime, generator: random.Random
) -> Assignment | None:
    """Lease the annotator one prompt to judge, its images at hand; None when none is left for them.

    There is none for the paused and, where the project asks for it, for the unqualified.
    Asking again returns the same slot, its lease renewed and its order kept. Slots being claimed elsewhere
    are passed over. A slot whose lease ran out in other hands is shuffled anew and loses the other's draft.
    Images that came in without their files are not shown. As long as there is new work, checks are mixed in.
    """
    if not locked_for_work(annotator, project):  # locked: two tabs must not get two prompts
        return None
    slots = Assignment.objects.filter(project=project).select_related("prompt").with_images().order_by("pk")
    # The annotator's own slot is waited for: a draft on its way locks it, and must not cost them the task.
    held = slots.select_for_update(of=("self",)).held_by(annotator).first()
    if held is not None:
        held.leased_until = now + project.lease
        held.save(update_fields=["leased_until"])
        return held
    claimable = slots.claimable_by(annotator, now=now)
    check = draw_check(annotator=annotator, project=project, generator=generator)
    if check is not None and check.against is not None and claimable.exists():
        _lease(check, list(check.against.order), annotator=annotator, now=now, generator=generator)
        return slots.get(pk=check.pk)
    slot = claimable.select_for_update(skip_locked=True, of=("self",)).first()
    if slot is None:
        return None
    slot.project = project
    order = [image.generation_id for image in slot.showable]
    _lease(slot, order, annotator=annotator, now=now, generator=generator)
    return slot


def _lease(
    slot: Assignment, order: list[int], *, annotator: User, now: datetime, generator: random.Random
) -> None:
    generator.shuffle(order)
    slot.state, slot.annotator, slot.order = Assignment.State.LEASED, annotator, order
    slot.claimed_at, slot.leased_until = now, now + slot.project.lease
    slot.draft = slot.drafted_at = None
    leased = ["state", "annotator", "order", "claimed_at", "leased_until", "draft", "drafted_at"]
    slot.save(update_fields=leased if slot.pk else None)


def save_draft(*, assignment: Assignment, annotator: User, answer: dict[str, Any], now: datetime) -> None:
    """Keep an unfinished answer in place of the one kept before, and renew the lease.

    Raises: LeaseLost when the slot is not the annotator's any more.
    """
    mine = Assignment.objects.held_by(annotator).filter(pk=assignment.pk)
    if mine.update(draft=answer, drafted_at=now, leased_until=now + assignment.project.lease) != 1:
        raise LeaseLost
    assignment.draft, assignment.drafted_at = answer, now

"""Reference answers: given by researchers and admins, and assigned a purpose by admins."""

from __future__ import annotations

import random
from datetime import datetime

from django.db import transaction
from django.db.models import Count, F

from annotation.access import Do, may
from annotation.models import Action, Assignment, Generation, Project, Prompt, Reference, User
from annotation.services.actions import record_action


class NotTrusted(Exception):
    """The answer is no finished one of a researcher, inspector or admin, or shows images without files."""


class NothingToAnswer(Exception):
    """No such prompt with images is left that this person has not judged."""


@transaction.atomic
def claim_reference(
    *,
    researcher: User,
    project: Project,
    now: datetime,
    generator: random.Random,
    prompt: Prompt | None = None,
) -> Assignment:
    """Lease a researcher a prompt to answer as a reference: the one they hold, else `prompt`, else any.

    Prompts with ordinary assignments come first, because annotators can be compared on these.

    Raises: NothingToAnswer.
    """
    User.objects.select_for_update(no_key=True).get(pk=researcher.pk)  # two tabs must not get two prompts
    assignment = Assignment.objects.held_by(researcher).filter(project=project).first()
    if assignment is not None:
        return assignment
    prompt = prompt or _draw_prompt(researcher, project, generator)
    order = list(Generation.objects.filter(prompt=prompt, image__isnull=False).values_list("pk", flat=True))
    assignments = Assignment.objects.filter(prompt=prompt, annotator=researcher)
    if prompt is None or not 2 <= len(order) <= project.max_images or assignments.exists():
        raise NothingToAnswer
    generator.shuffle(order)
    return Assignment.objects.create(
        project=project,
        prompt=prompt,
        annotator=researcher,
        kind=Assignment.Kind.REFERENCE,
        state=Assignment.State.LEASED,
        order=order,
        claimed_at=now,
        leased_until=now + project.lease,
    )


def _draw_prompt(researcher: User, project: Project, generator: random.Random) -> Prompt | None:
    seen_prompts = Assignment.objects.filter(annotator=researcher).values("prompt")
    rankable = (
        project.prompts.exclude(pk__in=seen_prompts)
        .annotate(images=Count("generations"), files=Count("generations__image"))
        .filter(images__gte=2, images__lte=project.max_images, files=F("images"))
    )
    for prompts in (rankable.filter(pk__in=Assignment.objects.work().values("prompt")), rankable):
        if count := prompts.count():
            return prompts.order_by("pk")[generator.randrange(count)]
    return None


@transaction.atomic
def choose_reference(*, answer: Assignment, purpose: str, note: str, by: User, now: datetime) -> Reference:
    """Make this the answer that others' answers to the prompt are compared with, replacing the current one.

    Raises: NotTrusted; ValueError for an unknown purpose.
    """
    # Lock the answer: its annotator may be revising it.
    answer = Assignment.objects.select_for_update(no_key=True).get(pk=answer.pk)
    is_opinion = answer.kind in (Assignment.Kind.ORDINARY, Assignment.Kind.REFERENCE)
    generations = Generation.objects.filter(pk__in=answer.order)
    if (
        not is_opinion
        or answer.state != Assignment.State.ACCEPTED
        or not _is_trusted(answer)
        or generations.filter(image=None).exists()
    ):
        raise NotTrusted
    record_action(
        Action.Kind.REFERENCE_CHOSEN,
        project=answer.project_id,
        by=by,
        subject=answer.prompt,
        prompt_ids=[answer.prompt_id],
        purpose=purpose,
        answer=answer.pk,
    )
    reference, _ = Reference.objects.update_or_create(
        prompt_id=answer.prompt_id,
        defaults={
            "answer": answer,
            "purpose": Reference.Purpose(purpose),
            "note": note.strip(),
            "created_by": by,
            "created_at": now,
            "retired_at": None,
        },
    )
    return reference


@transaction.atomic
def retire_reference(*, reference: Reference, by: User, now: datetime) -> None:
    """Stop using the reference; earlier comparisons with it stay. Retiring it again changes nothing."""
    if Reference.objects.in_use().filter(pk=reference.pk).update(retired_at=now):
        project = reference.prompt.project_id
        record_action(
            Action.Kind.REFERENCE_RETIRED,
            project=project,
            by=by,
            subject=reference.prompt,
            prompt_ids=[reference.prompt_id],
        )


def _is_trusted(answer: Assignment) -> bool:
    assert answer.annotator is not None  # finished answers have an annotator
    return may(answer.annotator, Do.GIVE_REFERENCES, answer.project)

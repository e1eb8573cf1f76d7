"""Changing one's own answer: as long as nobody has judged it and nothing was made of it."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.db import transaction
from django.db.models import Q

from annotation.models import Action, Assignment, Placement, Project, Prompt, Ranking, Revision, User
from annotation.models.judgements import SCALES
from annotation.registry import register_event
from annotation.selectors.assignments import own_answers, why_closed
from annotation.services.actions import record_action
from annotation.services.judgements.answers import record
from annotation.services.judgements.judgements import (
    ImageRating,
    Judgement,
    Label,
    check,
    refuse_contradictions,
)
from annotation.services.webhooks.events import announce

JUDGEMENT_REVISED = register_event("judgement.revised", "An answer was changed by who gave it")


class NoOwnAnswer(Exception):
    """This person gave no such answer."""


class AnswerClosed(Exception):
    """The answer may not be changed any more; the message says why, in a sentence for its annotator."""


class AnswerChanged(Exception):
    """It was changed elsewhere in the meantime."""


@transaction.atomic
def revise_judgement(
    *,
    assignment: Assignment,
    annotator: User,
    judgement: Judgement,
    version: str,
    now: datetime,
    confirmed: bool = False,
) -> Ranking:
    """Put a changed answer in place of the annotator's own; what it said before stays as a Revision.

    What it says already changes nothing. When it was submitted and accepted stays as it was.

    Args:
        version: the answer's `version` that the change was made from.
        confirmed: as in `submit_judgement`.
    Raises: NoOwnAnswer; AnswerClosed; AnswerChanged; InvalidJudgement, as its subclasses say.
    """
    # Who settles the project's answers waits for us or we for them; and two tabs for each other.
    project = Project.objects.select_for_update(no_key=True).get(pk=assignment.project_id)
    _lock(assignment)
    mine = own_answers(annotator, project).select_related("prompt", "label", "ranking")
    answer = mine.filter(pk=assignment.pk).first()
    if answer is None:
        raise NoOwnAnswer
    answer.project = project
    if why := why_closed(answer):
        raise AnswerClosed(why)
    before = said(judgement_of(answer))
    if before == said(judgement):
        return answer.ranking
    if answer.version != version:
        raise AnswerChanged
    check(project=project, images=answer.order, judgement=judgement)
    refuse_contradictions(project, judgement, confirmed=confirmed)

    number = answer.revisions.count() + 1
    Revision.objects.create(assignment=answer, number=number, said=before, replaced_at=now)
    _forget(answer)
    ranking = record(answer, judgement)
    Assignment.objects.filter(pk=answer.pk).update(revised_at=now)
    Prompt.objects.filter(pk=answer.prompt_id).update(agreement=None, opinions_compared=0)
    record_action(
        Action.Kind.REVISED, project=project, by=annotator, subject=f"answer {answer.pk}", revision=number
    )
    data = {"assignment": answer.pk, "prompt": answer.prompt.key, "annotator": annotator.username}
    announce(JUDGEMENT_REVISED, project=project, data=data)
    return ranking


def settle_answers(*, project: Project, until: datetime) -> None:
    """Answers accepted until then have been made something of: who gave them changes them no more."""
    settled = Q(settled_until__isnull=True) | Q(settled_until__lt=until)
    Project.objects.filter(settled, pk=project.pk).update(settled_until=until)


def judgement_of(answer: Assignment) -> Judgement:
    """What an answer says. What an import left unsaid is taken for none."""
    label = getattr(answer, "label", None)
    ratings = {
        rating.generation_id: ImageRating(
            rating.overall, rating.alignment, rating.fidelity, tuple(rating.problems or ())
        )
        for rating in answer.ratings.all()
    }
    placed = Placement.objects.filter(ranking__assignment=answer)
    return Judgement(
        label and Label(label.category, bool(label.intent_unclear), tuple(label.issues or ())),
        ratings,
        dict(placed.values_list("generation_id", "slot")),
    )


def said(judgement: Judgement) -> dict[str, Any]:
    """The answer as JSON, the same for answers that say the same."""
    label = judgement.label
    return {
        "label": label
        and {
            "category": label.category,
            "intent_unclear": label.intent_unclear,
            "issues": sorted(label.issues),
        },
        "ratings": {
            str(pk): {scale: getattr(rating, scale) for scale in SCALES}
            | {"problems": sorted(rating.problems)}
            for pk, rating in sorted(judgement.ratings.items())
        },
        "slots": {str(pk): slot for pk, slot in sorted(judgement.slots.items())},
    }


def _lock(answer: Assignment) -> None:
    """Wait for who judges the answer or makes it a reference.

    In a statement of its own: one that waits sees the row as it is then, and all else as it was before.
    """
    Assignment.objects.select_for_update(no_key=True).get(pk=answer.pk)


def _forget(answer: Assignment) -> None:
    """Make room for other words; what these were is in the revision."""
    answer.ranking.delete()
    answer.ratings.all().delete()
    if label := getattr(answer, "label", None):
        label.delete()

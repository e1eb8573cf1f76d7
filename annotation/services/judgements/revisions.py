"""Changing one's own answer: as long as nobody has judged it and nothing was made of it."""

from __future__ import annotations

from datetime import datetime

from django.db import transaction
from django.db.models import Q

from annotation.models import Action, Assignment, Project, Prompt, Ranking, Revision, User
from annotation.registry import register_event
from annotation.selectors.assignments import own_answers, why_closed
from annotation.services.actions import record_action
from annotation.services.judgements.answers import Judgement, as_json, judgement_of, record
from annotation.services.judgements.judgements import check, refuse_contradictions
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
    """Replace the annotator's own answer; what it said before stays as a Revision.

    An equal answer changes nothing. When it was submitted and accepted stays as it was.

    Args:
        version: the answer's `version` that the change was made from.
        confirmed: as in `submit_judgement`.
    Raises: NoOwnAnswer; AnswerClosed; AnswerChanged; InvalidJudgement, as its subclasses say.
    """
    # `settle_answers` waits for this or this for it; and two tabs for each other.
    project = Project.objects.select_for_update(no_key=True).get(pk=assignment.project_id)
    _lock(assignment)
    own = own_answers(annotator, project).select_related("prompt", "label", "ranking")
    answer = own.filter(pk=assignment.pk).first()
    if answer is None:
        raise NoOwnAnswer
    answer.project = project
    if why := why_closed(answer):
        raise AnswerClosed(why)
    before = as_json(judgement_of(answer))
    if before == as_json(judgement):
        return answer.ranking
    if answer.version != version:
        raise AnswerChanged
    check(project=project, images=answer.order, judgement=judgement)
    refuse_contradictions(project, judgement, confirmed=confirmed)

    number = answer.revisions.count() + 1
    Revision.objects.create(assignment=answer, number=number, said=before, replaced_at=now)
    _delete_rows(answer)
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
    """Lock the answers accepted until then: they were exported or frozen in a dataset."""
    earlier = Q(settled_until__isnull=True) | Q(settled_until__lt=until)
    Project.objects.filter(earlier, pk=project.pk).update(settled_until=until)


def _lock(answer: Assignment) -> None:
    """Wait for whoever reviews the answer or makes it a reference.

    In a statement of its own: one that waits sees the row as it is then, and all else as it was before.
    """
    Assignment.objects.select_for_update(no_key=True).get(pk=answer.pk)


def _delete_rows(answer: Assignment) -> None:
    """Make room for the changed answer; the one before is in the revision."""
    answer.ranking.delete()
    answer.ratings.all().delete()
    if label := getattr(answer, "label", None):
        label.delete()

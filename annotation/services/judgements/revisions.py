"""Revising one's own answer, until it is reviewed, exported or frozen in a dataset."""

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

JUDGEMENT_REVISED = register_event("judgement.revised", "An answer was changed by its author")


class NoOwnAnswer(Exception):
    """The annotator has no such answer."""


class AnswerClosed(Exception):
    """The answer can no longer be revised; the message tells the annotator why."""


class AnswerChanged(Exception):
    """The answer was revised elsewhere in the meantime."""


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
    """Replace the annotator's own answer; the previous one is kept as a Revision.

    An equal answer changes nothing. The times of submission and acceptance stay.

    Args:
        version: the answer's `version` that the revision is based on.
        confirmed: as in `submit_judgement`.
    Raises: NoOwnAnswer; AnswerClosed; AnswerChanged; InvalidJudgement, as its subclasses say.
    """
    # Excludes `settle_answers` and a second revision from another tab.
    project = Project.objects.select_for_update(no_key=True).get(pk=assignment.project_id)
    _lock(assignment)
    answers = own_answers(annotator, project).select_related("prompt", "label", "ranking")
    answer = answers.filter(pk=assignment.pk).first()
    if answer is None:
        raise NoOwnAnswer
    answer.project = project
    if reason := why_closed(answer):
        raise AnswerClosed(reason)
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
        Action.Kind.REVISED,
        project=project,
        by=annotator,
        subject=f"answer {answer.pk}",
        prompt_ids=[answer.prompt_id],
        revision=number,
    )
    data = {"assignment": answer.pk, "prompt": answer.prompt.key, "annotator": annotator.username}
    announce(JUDGEMENT_REVISED, project=project, data=data)
    return ranking


def settle_answers(*, project: Project, until: datetime) -> None:
    """Close the answers accepted until then to revision: they were exported or frozen in a dataset."""
    earlier = Q(settled_until__isnull=True) | Q(settled_until__lt=until)
    Project.objects.filter(earlier, pk=project.pk).update(settled_until=until)


def _lock(answer: Assignment) -> None:
    """Lock the answer against reviews and against becoming a reference.

    This is a statement of its own, because a statement that waits for a lock sees only the locked row afresh.
    """
    Assignment.objects.select_for_update(no_key=True).get(pk=answer.pk)


def _delete_rows(answer: Assignment) -> None:
    """Delete the rows of the previous answer, which the Revision keeps."""
    answer.ranking.delete()
    answer.ratings.all().delete()
    if label := getattr(answer, "label", None):
        label.delete()

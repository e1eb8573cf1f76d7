"""An answer's rows: written in one statement, and compared with an answer that is sent again."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime
from functools import cache
from typing import TYPE_CHECKING, Any

from psycopg.types.json import Jsonb

from annotation.models import Assignment, Ranking, User
from annotation.models.judgements import SCALES
from annotation.statements import Parameter, fetch_one, update

if TYPE_CHECKING:
    from annotation.services.judgements.judgements import Judgement

# The rows of an answer to the assignment that `answered` names, if it does.
ROWS = """
    ranking AS (
        INSERT INTO annotation_ranking (assignment_id) SELECT id FROM answered RETURNING id
    ), placement AS (
        INSERT INTO annotation_placement (ranking_id, generation_id, slot)
        SELECT ranking.id, image.generation, image.slot
        FROM ranking, unnest(%(generations)s::bigint[], %(slots)s::smallint[]) AS image (generation, slot)
    ), promptlabel AS (
        INSERT INTO annotation_promptlabel (assignment_id, category, intent_unclear, issues)
        SELECT answered.id, label.category, label.intent_unclear, label.issues
        FROM answered,
            jsonb_to_recordset(%(labels)s) AS label (category text, intent_unclear boolean, issues text[])
    ), rating AS (
        INSERT INTO annotation_rating (assignment_id, generation_id, overall, alignment, fidelity, problems)
        SELECT answered.id, generation, overall, alignment, fidelity, problems
        FROM answered, jsonb_to_recordset(%(ratings)s) AS image (
            generation bigint, overall smallint, alignment smallint, fidelity smallint, problems text[]
        )
    )
    SELECT id FROM ranking
"""
RECORD = f"WITH answered AS (SELECT %(assignment)s::bigint AS id), {ROWS}"


@cache
def _close() -> str:
    """Only an assignment that is still in the annotator's hands is closed, and gets rows."""
    held = Assignment.objects.held_by(Parameter("annotator")).filter(pk=Parameter("assignment"))
    closed = update(
        held,
        state=Parameter("state"),
        submitted_at=Parameter("now"),
        accepted_at=Parameter("accepted_at"),
        draft=None,
        drafted_at=None,
    )
    return f"WITH answered AS ({closed} RETURNING id), {ROWS}"


def record(assignment: Assignment, judgement: Judgement) -> Ranking:
    """Write down a checked answer, within its transaction."""
    row = fetch_one(RECORD, _rows(assignment, judgement))
    assert row is not None
    return Ranking(pk=row[0], assignment=assignment)


def close(
    assignment: Assignment, judgement: Judgement, *, annotator: User, is_inspected: bool, now: datetime
) -> Ranking | None:
    """Write down a checked answer and close its assignment; None when the annotator does not hold that."""
    values = {
        "annotator": annotator.pk,
        "state": Assignment.State.SUBMITTED if is_inspected else Assignment.State.ACCEPTED,
        "now": now,
        "accepted_at": None if is_inspected else now,
    }
    row = fetch_one(_close(), values | _rows(assignment, judgement))
    return Ranking(pk=row[0], assignment=assignment) if row else None


def _rows(assignment: Assignment, judgement: Judgement) -> dict[str, Any]:
    ratings = [{"generation": pk} | asdict(rating) for pk, rating in judgement.ratings.items()]
    return {
        "assignment": assignment.pk,
        "generations": assignment.order,
        "slots": [judgement.slots[pk] for pk in assignment.order],
        "labels": Jsonb([asdict(judgement.label)] if judgement.label else []),
        "ratings": Jsonb(ratings),
    }


def recorded_before(assignment: Assignment, annotator: User, judgement: Judgement) -> Ranking | None:
    """The ranking of an equal answer that this annotator gave to this assignment before."""
    rankings = Ranking.objects.filter(assignment=assignment.pk, assignment__annotator=annotator)
    ranking = rankings.select_related("assignment__label").first()
    return ranking if ranking and _says_the_same(ranking, judgement) else None


def _says_the_same(ranking: Ranking, judgement: Judgement) -> bool:
    answer = ranking.assignment
    label = getattr(answer, "label", None)
    return (
        dict(ranking.placements.values_list("generation_id", "slot")) == dict(judgement.slots)
        and (label and (label.category, label.intent_unclear, set(label.issues or ())))
        == (
            judgement.label
            and (judgement.label.category, judgement.label.intent_unclear, set(judgement.label.issues))
        )
        and {
            pk: (*scales, set(problems or ()))
            for pk, *scales, problems in answer.ratings.values_list("generation_id", *SCALES, "problems")
        }
        == {
            pk: (rating.overall, rating.alignment, rating.fidelity, set(rating.problems))
            for pk, rating in judgement.ratings.items()
        }
    )

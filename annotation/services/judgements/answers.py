"""An answer: as values, as rows written in one statement, and as JSON."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from functools import cache
from typing import Any

from psycopg.types.json import Jsonb

from annotation.models import Assignment, Placement, Ranking, User
from annotation.models.axes import fields_of
from annotation.statements import Parameter, fetch_one, update


@dataclass(frozen=True)
class Label:
    """Stage 1. `issues` are values of `Issue`; none when empty."""

    category: str
    intent_unclear: bool
    issues: tuple[str, ...]


@dataclass(frozen=True)
class ImageRating:
    """Stage 2: a point from 1 to 7 on each of the project's axes, by name.

    `problems` are values of `Problem`; none when empty.
    """

    points: Mapping[str, int]
    problems: tuple[str, ...]


@dataclass(frozen=True)
class Judgement:
    """One answer. `ratings` and `slots` are keyed by generation id; stages switched off are None and {}.

    Images in slots 1 to `acceptable_slots` are acceptable: none when 0. None where the project does not ask.
    """

    label: Label | None
    ratings: Mapping[int, ImageRating]
    slots: Mapping[int, int]
    acceptable_slots: int | None = None


# The rows of an answer to the assignment that `answered` names, if it does.
ROWS = """
    ranking AS (
        INSERT INTO annotation_ranking (assignment_id, acceptable_slots)
        SELECT id, %(acceptable_slots)s::smallint FROM answered RETURNING id
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
        INSERT INTO annotation_rating
            (assignment_id, generation_id, overall, alignment, fidelity, others, problems)
        SELECT answered.id, generation, overall, alignment, fidelity, others, problems
        FROM answered, jsonb_to_recordset(%(ratings)s) AS image (
            generation bigint, overall smallint, alignment smallint, fidelity smallint, others jsonb,
            problems text[]
        )
    )
    SELECT id FROM ranking
"""
RECORD = f"WITH answered AS (SELECT %(assignment)s::bigint AS id), {ROWS}"


@cache
def _close() -> str:
    """Return the SQL that closes an assignment its annotator still holds, and writes the answer's rows."""
    assignment = Assignment.objects.held_by(Parameter("annotator")).filter(pk=Parameter("assignment"))
    closed = update(
        assignment,
        state=Parameter("state"),
        submitted_at=Parameter("now"),
        accepted_at=Parameter("accepted_at"),
        draft=None,
        drafted_at=None,
    )
    return f"WITH answered AS ({closed} RETURNING id), {ROWS}"


def record(assignment: Assignment, judgement: Judgement) -> Ranking:
    """Write a checked answer, within the caller's transaction."""
    row = fetch_one(RECORD, _rows(assignment, judgement))
    assert row is not None
    return Ranking(pk=row[0], assignment=assignment)


def close(
    assignment: Assignment, judgement: Judgement, *, annotator: User, is_inspected: bool, now: datetime
) -> Ranking | None:
    """Write a checked answer and close its assignment, or return None when the annotator does not hold it."""
    values = {
        "annotator": annotator.pk,
        "state": Assignment.State.SUBMITTED if is_inspected else Assignment.State.ACCEPTED,
        "now": now,
        "accepted_at": None if is_inspected else now,
    }
    row = fetch_one(_close(), values | _rows(assignment, judgement))
    return Ranking(pk=row[0], assignment=assignment) if row else None


def _rows(assignment: Assignment, judgement: Judgement) -> dict[str, Any]:
    ratings = [
        {"generation": pk, "problems": rating.problems} | fields_of(rating.points)
        for pk, rating in judgement.ratings.items()
    ]
    return {
        "assignment": assignment.pk,
        "generations": assignment.order,
        "slots": [judgement.slots[pk] for pk in assignment.order],
        "acceptable_slots": judgement.acceptable_slots,
        "labels": Jsonb([asdict(judgement.label)] if judgement.label else []),
        "ratings": Jsonb(ratings),
    }


def recorded_before(assignment: Assignment, annotator: User, judgement: Judgement) -> Ranking | None:
    """Return the ranking of an equal answer that this annotator gave to this assignment before, or None."""
    rankings = Ranking.objects.filter(assignment=assignment.pk, assignment__annotator=annotator)
    ranking = rankings.select_related("assignment__label", "assignment__ranking").first()
    is_equal = ranking and as_json(judgement_of(ranking.assignment)) == as_json(judgement)
    return ranking if is_equal else None


def judgement_of(answer: Assignment) -> Judgement:
    """Read an answer's rows. What an import left out is taken for none."""
    label = getattr(answer, "label", None)
    ratings = {
        rating.generation_id: ImageRating(rating.points, tuple(rating.problems or ()))
        for rating in answer.ratings.all()
    }
    placed = Placement.objects.filter(ranking__assignment=answer)
    return Judgement(
        label and Label(label.category, bool(label.intent_unclear), tuple(label.issues or ())),
        ratings,
        dict(placed.values_list("generation_id", "slot")),
        answer.ranking.acceptable_slots,
    )


def as_json(judgement: Judgement) -> dict[str, Any]:
    """Return what `Revision.said` holds; equal for equal answers."""
    label, acceptable = judgement.label, judgement.acceptable_slots
    line = {} if acceptable is None else {"acceptable_slots": acceptable}
    return line | {
        "label": label
        and {
            "category": label.category,
            "intent_unclear": label.intent_unclear,
            "issues": sorted(label.issues),
        },
        "ratings": {
            str(pk): dict(rating.points) | {"problems": sorted(rating.problems)}
            for pk, rating in sorted(judgement.ratings.items())
        },
        "slots": {str(pk): slot for pk, slot in sorted(judgement.slots.items())},
    }

"""Storing rankings from elsewhere as accepted judgements of a project."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from pathlib import Path

from annotation.models import (
    Assignment,
    Generation,
    Placement,
    Project,
    Prompt,
    PromptLabel,
    Ranking,
    Rating,
    User,
)
from annotation.models.axes import fields_of
from annotation.models.people import IMPORTED
from annotation.services.imports.formats.record import ANNOTATOR_LENGTH, RankingRecord


def generation_ids(
    batch: Iterable[RankingRecord], prompts: Mapping[str, Prompt]
) -> dict[tuple[int, str], int]:
    """Return (prompt id, source) -> generation id."""
    rows = Generation.objects.filter(prompt__in=[prompts[record.key].pk for record in batch])
    return {(prompt, source): pk for prompt, source, pk in rows.values_list("prompt_id", "source", "pk")}


def imported_name(file_name: str, name: str) -> str:
    """Return the name of the user to whom the file's judgements are attributed. Args: name: in the file."""
    longest = User._meta.get_field("username").max_length or 0
    full_name = f"{IMPORTED}{Path(file_name).stem}"
    return f"{full_name[: longest - ANNOTATOR_LENGTH - 1]}:{name}" if name else full_name[:longest]


def imported_annotator(file_name: str, name: str) -> User:
    """Return the user to whom the file's judgements are attributed; nobody can sign in as them."""
    user, is_new = User.objects.get_or_create(
        username=imported_name(file_name, name), defaults={"is_active": False}
    )
    if is_new:
        user.set_unusable_password()
        user.save(update_fields=["password"])
    return user


def record_judgements(
    project: Project, batch: list[RankingRecord], prompts: dict[str, Prompt], annotator: User, now: datetime
) -> int:
    """Add the judgements that the project does not have yet; return how many.

    1. Skip those that are known (`refuse_changed`).
    2. Add an accepted assignment for each of the others (`_add_assignments`).
    3. Add their rankings (`_add_rankings`), prompt labels (`_add_labels`) and ratings (`_add_ratings`).

    Raises: ImportRefused for a ranking that differs from a known one by this annotator.
    """
    ids = generation_ids(batch, prompts)
    orders = {
        record.key: [ids[prompts[record.key].pk, source] for source in record.sources] for record in batch
    }
    known_keys = refuse_changed(batch, prompts, annotator.username)
    new_records = [record for record in batch if record.key not in known_keys]
    assignments = _add_assignments(project, new_records, prompts, orders, annotator, now)
    _add_rankings(assignments, new_records)
    _add_labels(assignments, new_records)
    _add_ratings(assignments, new_records)
    return len(new_records)


def refuse_changed(batch: Iterable[RankingRecord], prompts: Mapping[str, Prompt], annotator: str) -> set[str]:
    """Return the keys of the prompts that this annotator ranked already.

    Args: prompts: by key; those that the project does not have yet may be missing.
    Raises: ImportRefused for a ranking that differs from the known one.
    """
    known_prompts = [prompts[record.key] for record in batch if record.key in prompts]
    known_slots = _slots_by_key(annotator, known_prompts)
    for record in batch:
        slots = dict(zip(record.sources, record.slots, strict=True))
        if known_slots.get(record.key, slots) != slots:
            raise record.row.refused(f"another ranking of {record.key!r} is known from {annotator}")
    return set(known_slots)


def _slots_by_key(annotator: str, prompts: Iterable[Prompt]) -> dict[str, dict[str, int]]:
    """Return prompt key -> image's source -> slot, of the annotator's rankings."""
    slots: dict[str, dict[str, int]] = {}
    rows = Placement.objects.filter(
        ranking__assignment__annotator__username=annotator, ranking__assignment__prompt__in=prompts
    )
    for key, source, slot in rows.values_list(
        "ranking__assignment__prompt__key", "generation__source", "slot"
    ):
        slots.setdefault(key, {})[source] = slot
    return slots


def _add_assignments(
    project: Project,
    records: list[RankingRecord],
    prompts: dict[str, Prompt],
    orders: dict[str, list[int]],
    annotator: User,
    now: datetime,
) -> list[Assignment]:
    return Assignment.objects.bulk_create(
        Assignment(
            project=project,
            prompt=prompts[record.key],
            annotator=annotator,
            state=Assignment.State.ACCEPTED,
            leased_until=now,
            order=orders[record.key],
            is_order_imported=bool(record.positions),
            imported_seconds=record.seconds,
            submitted_at=now,
            accepted_at=now,
        )
        for record in records
    )


def _add_rankings(assignments: list[Assignment], records: list[RankingRecord]) -> None:
    rankings = Ranking.objects.bulk_create(
        Ranking(assignment=assignment, acceptable_slots=record.acceptable_slots)
        for assignment, record in zip(assignments, records, strict=True)
    )
    Placement.objects.bulk_create(
        Placement(ranking=ranking, generation_id=pk, slot=slot)
        for ranking, assignment, record in zip(rankings, assignments, records, strict=True)
        for pk, slot in zip(assignment.order, record.slots, strict=True)
    )


def _add_labels(assignments: list[Assignment], records: list[RankingRecord]) -> None:
    PromptLabel.objects.bulk_create(
        PromptLabel(
            assignment=assignment,
            category=record.category,
            intent_unclear=record.intent_unclear,
            issues=record.issues,
        )
        for assignment, record in zip(assignments, records, strict=True)
        if record.category
    )


def _add_ratings(assignments: list[Assignment], records: list[RankingRecord]) -> None:
    Rating.objects.bulk_create(
        Rating(
            assignment=assignment,
            generation_id=pk,
            problems=problems,
            **fields_of(points),
        )
        for assignment, record in zip(assignments, records, strict=True)
        if record.ratings
        for pk, points, problems in zip(
            assignment.order,
            record.ratings,
            record.problems or [None] * len(record.ratings),
            strict=True,
        )
    )

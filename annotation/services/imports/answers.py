"""What people said elsewhere, as accepted answers of a project."""

from __future__ import annotations

from collections.abc import Iterable
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
from annotation.models.judgements import SCALES
from annotation.models.people import IMPORTED
from annotation.services.imports.opinions import Opinion
from annotation.services.imports.opinions.opinion import ANNOTATOR_LENGTH


def generation_ids(batch: Iterable[Opinion], prompts: dict[str, Prompt]) -> dict[tuple[int, str], int]:
    """(prompt id, source) -> generation id."""
    rows = Generation.objects.filter(prompt__in=[prompts[opinion.key].pk for opinion in batch])
    return {(prompt, source): pk for prompt, source, pk in rows.values_list("prompt_id", "source", "pk")}


def imported_annotator(file: Path, name: str) -> User:
    """Whom the file's answers are put down to: nobody can sign in as them."""
    longest = User._meta.get_field("username").max_length or 0
    whole = f"{IMPORTED}{file.stem}"
    username = f"{whole[: longest - ANNOTATOR_LENGTH - 1]}:{name}" if name else whole[:longest]
    user, made = User.objects.get_or_create(username=username, defaults={"is_active": False})
    if made:
        user.set_unusable_password()
        user.save(update_fields=["password"])
    return user


def record_answers(
    project: Project, batch: list[Opinion], prompts: dict[str, Prompt], annotator: User, now: datetime
) -> int:
    """Add the answers that are not there yet; returns how many. Raises ImportRefused for one that differs."""
    ids = generation_ids(batch, prompts)
    orders = {
        opinion.key: [ids[prompts[opinion.key].pk, source] for source in opinion.sources] for opinion in batch
    }
    recorded = _recorded(annotator, [prompts[opinion.key] for opinion in batch])
    for opinion in batch:
        placed = dict(zip(orders[opinion.key], opinion.slots, strict=True))
        if recorded.get(prompts[opinion.key].pk, placed) != placed:
            raise opinion.row.refused(f"another ranking of {opinion.key!r} is known from {annotator}")
    new = [opinion for opinion in batch if prompts[opinion.key].pk not in recorded]
    assignments = Assignment.objects.bulk_create(
        Assignment(
            project=project,
            prompt=prompts[opinion.key],
            annotator=annotator,
            state=Assignment.State.ACCEPTED,
            leased_until=now,
            order=orders[opinion.key],
            submitted_at=now,
            accepted_at=now,
        )
        for opinion in new
    )
    rankings = Ranking.objects.bulk_create(Ranking(assignment=assignment) for assignment in assignments)
    Placement.objects.bulk_create(
        Placement(ranking=ranking, generation_id=pk, slot=slot)
        for ranking, opinion in zip(rankings, new, strict=True)
        for pk, slot in zip(orders[opinion.key], opinion.slots, strict=True)
    )
    PromptLabel.objects.bulk_create(
        PromptLabel(
            assignment=assignment,
            category=opinion.category,
            intent_unclear=opinion.intent_unclear,
            issues=opinion.issues,
        )
        for assignment, opinion in zip(assignments, new, strict=True)
        if opinion.category
    )
    Rating.objects.bulk_create(
        Rating(
            assignment=assignment,
            generation_id=pk,
            problems=problems,
            **dict(zip(SCALES, stars, strict=True)),
        )
        for assignment, opinion in zip(assignments, new, strict=True)
        if opinion.ratings
        for pk, stars, problems in zip(
            orders[opinion.key],
            opinion.ratings,
            opinion.problems or [None] * len(opinion.ratings),
            strict=True,
        )
    )
    return len(new)


def _recorded(annotator: User, prompts: list[Prompt]) -> dict[int, dict[int, int]]:
    """Prompt id -> generation id -> slot, of this annotator's answers."""
    slots: dict[int, dict[int, int]] = {}
    rows = Placement.objects.filter(
        ranking__assignment__annotator=annotator, ranking__assignment__prompt__in=prompts
    )
    for prompt, generation, slot in rows.values_list("ranking__assignment__prompt", "generation", "slot"):
        slots.setdefault(prompt, {})[generation] = slot
    return slots

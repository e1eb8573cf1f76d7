"""Storing the results of prompt selections, which other apps compute: this app loads no model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from django.db import transaction

from annotation.models import ChosenPrompt, Encoder, Project, PromptSelection, TextVector
from annotation.selectors.projects.selections import text_hash

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class Choice(NamedTuple):
    """A chosen prompt: its id, its score when chosen, and the number of prompts that voted for it."""

    prompt: int
    score: float
    voters: int


def register_encoder(*, name: str, digest: str) -> Encoder:
    """Return the encoder of that digest, creating it if needed; an existing one keeps its name."""
    return Encoder.objects.get_or_create(digest=digest, defaults={"name": name})[0]


def keep_vectors(*, encoder: Encoder, texts: Sequence[str], vectors: NDArray[np.float32]) -> None:
    """Store a vector for each text that has none. vectors: (N, D)."""
    TextVector.objects.bulk_create(
        (
            TextVector(encoder=encoder, text_sha256=text_hash(text), vector=vector.astype("<f4").tobytes())
            for text, vector in zip(texts, vectors, strict=True)
        ),
        ignore_conflicts=True,
    )


def start_selection(
    *,
    project: Project,
    config: Mapping[str, Any],
    encoder: Encoder,
    candidates: int,
    exact_duplicates: int,
    near_duplicates: int,
) -> PromptSelection:
    """Create a selection without chosen prompts.

    Args: candidates: prompts before the duplicates, exact and near, were dropped.
    """
    return PromptSelection.objects.create(
        project=project,
        config=dict(config),
        encoder=encoder,
        candidates=candidates,
        exact_duplicates=exact_duplicates,
        near_duplicates=near_duplicates,
    )


@transaction.atomic
def record_set(
    *,
    selection: PromptSelection,
    prompts: int,
    choices: Sequence[Choice],
    covered: int,
    covered_by_chance: float,
) -> None:
    """Add the prompts chosen from the next set, best first. Args: prompts: the size of the set."""
    locked = PromptSelection.objects.select_for_update().get(pk=selection.pk)
    number = len(locked.sets) + 1
    ChosenPrompt.objects.bulk_create(
        ChosenPrompt(
            selection=locked,
            prompt_id=choice.prompt,
            set_number=number,
            place=place,
            score=choice.score,
            voters=choice.voters,
        )
        for place, choice in enumerate(choices, start=1)
    )
    counts: dict[str, float] = {"prompts": prompts, "chosen": len(choices)}
    counts |= {"covered": covered, "covered_by_chance": covered_by_chance}
    selection.sets = [*locked.sets, counts]
    selection.save(update_fields=["sets"])


def finish_selection(*, selection: PromptSelection, plane: dict[str, Any], now: datetime) -> None:
    """Finish a selection whose sets are all recorded: its chosen prompts are now those that get images."""
    selection.plane, selection.finished_at = plane, now
    selection.save(update_fields=["plane", "finished_at"])


def delete_selection(selection: PromptSelection) -> None:
    """Delete a selection; images made for its prompts stay."""
    selection.delete()

"""Scores beside images, for admins' eyes; the rewardmodel app writes them here."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from django.db import transaction

from annotation.models import Generation
from annotation.services.priorities import put_unsure_first


@transaction.atomic
def record_scores(*, scores: Mapping[int, float], scored_by: str, unseen: Collection[int] = ()) -> None:
    """Set the score of each generation, in place of the one before; open tasks are sorted by it where asked.

    Args:
        scores: generation id -> score, higher is better, no unit.
        scored_by: the model that gave them.
        unseen: of these generations, those of whose prompt the model has learned nothing: only they show how
            far it agrees with people.
    """
    Generation.objects.bulk_update(
        [
            Generation(pk=pk, score=score, scored_by=scored_by, scored_unseen=pk in unseen)
            for pk, score in scores.items()
        ],
        ["score", "scored_by", "scored_unseen"],
        batch_size=1000,
    )
    put_unsure_first(generations=scores.keys())

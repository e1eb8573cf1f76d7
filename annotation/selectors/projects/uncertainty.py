"""A reward model's uncertainty about the order of a prompt's images."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection

from annotation.models import Generation
from annotation.statistics.uncertainty import mean_pair_entropy


def prompt_uncertainty(prompts: Collection[int]) -> dict[int, float]:
    """Return prompt id -> mean entropy, for prompts whose images were all scored by one model."""
    scores: dict[int, list[tuple[float | None, str]]] = defaultdict(list)
    rows = Generation.objects.filter(prompt__in=prompts).order_by("pk")
    for prompt, score, model in rows.values_list("prompt_id", "score", "scored_by"):
        scores[prompt].append((score, model))
    return {
        prompt: mean_pair_entropy([score for score, _ in scored if score is not None])
        for prompt, scored in scores.items()
        if len(scored) > 1 and len({model for _, model in scored}) == 1 and None not in {s for s, _ in scored}
    }

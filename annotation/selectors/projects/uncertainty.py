"""A reward model's uncertainty about the order of a prompt's images."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection

from annotation.models import Generation
from annotation.statistics.uncertainty import mean_pair_entropy


def prompt_uncertainty(prompts: Collection[int]) -> dict[int, float]:
    """Return prompt id -> mean entropy, for prompts whose images were all scored by one model."""
    scores: dict[int, list[tuple[float | None, str]]] = defaultdict(list)  # in nats
    rows = Generation.objects.filter(prompt__in=prompts).order_by("pk")
    for prompt, score, scale, model in rows.values_list("prompt_id", "score", "score_scale", "scored_by"):
        nats = None if score is None else score * (1.0 if scale is None else scale)
        scores[prompt].append((nats, model))
    return {
        prompt: mean_pair_entropy([score for score, _ in scored if score is not None])
        for prompt, scored in scores.items()
        if len(scored) > 1 and len({model for _, model in scored}) == 1 and None not in {s for s, _ in scored}
    }

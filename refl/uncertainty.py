"""The prompts whose images a reward model orders least surely."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from annotation.selectors.projects.uncertainty import mean_pair_entropy


def least_sure(rewards: Mapping[int, Sequence[float]], count: int) -> list[int]:
    """The prompts whose images the model orders least surely, that one first; equals in order of their ids.

    Args: rewards: prompt id -> the rewards of its images.
    """
    return sorted(rewards, key=lambda prompt: (-mean_pair_entropy(rewards[prompt]), prompt))[:count]

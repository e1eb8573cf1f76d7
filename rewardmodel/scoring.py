"""Scoring with a project's reward models: loaded here, for runs, or by a scorer, for web processes."""

from __future__ import annotations

import socket
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from django.conf import settings

from annotation.models import Project
from rewardmodel.models import RewardCheckpoint
from rewardmodel.selectors import promoted_checkpoint
from rewardmodel.serving.client import request_scores
from rewardmodel.serving.protocol import parse_address

if TYPE_CHECKING:
    from rewardmodel.learning.scoring import Scorer


@dataclass(frozen=True)
class ImageScore:
    """rank: among the images of the same prompt, 1 is best. truncated: the prompt."""

    score: float
    rank: int
    truncated: bool


@dataclass(frozen=True)
class ScoredImages:
    """What a reward model, by its name, says of images, in their order."""

    checkpoint: str
    scores: list[ImageScore]


def scorer(checkpoint: RewardCheckpoint) -> Scorer:
    """A reward model, loaded, on a GPU where there is one; torch comes with it. Raises: CheckpointError."""
    from rewardmodel.learning import load

    return load(checkpoint.location)


def score_files(
    *,
    project: Project,
    prompts: Sequence[str],
    files: Sequence[bytes],
    client: socket.socket | None = None,
) -> ScoredImages:
    """Have image i scored for prompt i by the project's promoted reward model, in a scorer.

    Args: files: PNG, JPEG or WebP. client: whose hanging up ends it.
    Raises: NothingPromoted, and what `request_scores` raises.
    """
    checkpoint = promoted_checkpoint(project)
    found = request_scores(
        scorers=[parse_address(address) for address in settings.SCORERS],
        key=settings.SCORER_KEY,
        location=checkpoint.location,
        prompts=prompts,
        images=files,
        seconds=settings.SCORES_SECONDS,
        most_waiting=settings.SCORES_AT_ONCE,
        client=client,
    )
    ranks = rank_by_prompt(prompts, found.scores)
    rows = zip(found.scores, ranks, found.truncated, strict=True)
    return ScoredImages(checkpoint.name, [ImageScore(*row) for row in rows])


def rank_by_prompt(prompts: Sequence[str], scores: Sequence[float]) -> list[int]:
    """Of each image its rank among those of the same prompt."""
    groups: dict[str, list[int]] = defaultdict(list)
    for index, text in enumerate(prompts):
        groups[text].append(index)
    ranks = [0] * len(scores)
    for group in groups.values():
        for rank, index in enumerate(sorted(group, key=lambda i: -scores[i]), start=1):
            ranks[index] = rank
    return ranks


def client_socket(environ: Mapping[str, Any]) -> socket.socket | None:
    """The connection that a request came over, where gunicorn tells it and it is not encrypted."""
    found = environ.get("gunicorn.socket")
    return found if type(found) is socket.socket else None

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
    """Load a reward model, on a GPU if there is one; this imports torch. Raises: CheckpointError."""
    from rewardmodel.learning import load

    return load(checkpoint.location)


def score_with_promoted(
    *,
    project: Project,
    prompts: Sequence[str],
    files: Sequence[bytes],
    client: socket.socket | None = None,
) -> ScoredImages:
    """Score image i for prompt i with the project's promoted reward model, in a scorer process.

    Args: files: PNG, JPEG or WebP. client: whose hanging up ends it.
    Raises: NothingPromoted, and what `request_scores` raises.
    """
    checkpoint = promoted_checkpoint(project)
    answer = request_scores(
        scorers=[parse_address(address) for address in settings.SCORERS],
        key=settings.SCORER_KEY,
        location=checkpoint.location,
        prompts=prompts,
        images=files,
        seconds=settings.SCORES_SECONDS,
        most_waiting=settings.SCORES_AT_ONCE,
        client=client,
    )
    ranks = rank_by_prompt(prompts, answer.scores)
    rows = zip(answer.scores, ranks, answer.truncated, strict=True)
    return ScoredImages(checkpoint.name, [ImageScore(*row) for row in rows])


def rank_by_prompt(prompts: Sequence[str], scores: Sequence[float]) -> list[int]:
    """Return each image's rank among those of the same prompt, 1 is best."""
    groups: dict[str, list[int]] = defaultdict(list)
    for index, text in enumerate(prompts):
        groups[text].append(index)
    ranks = [0] * len(scores)
    for group in groups.values():
        for rank, index in enumerate(sorted(group, key=lambda i: -scores[i]), start=1):
            ranks[index] = rank
    return ranks


def client_socket(environ: Mapping[str, Any]) -> socket.socket | None:
    """Return the connection of a request, or None where gunicorn does not give it or it is encrypted."""
    connection = environ.get("gunicorn.socket")
    return connection if type(connection) is socket.socket else None

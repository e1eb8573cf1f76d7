"""Scoring with a project's reward models: loaded here, for runs, or by a scorer, for web processes."""

from __future__ import annotations

import socket
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from django.conf import settings

from annotation.models import Project
from annotation.places import to_any_host
from annotation.stored_files import local_copy
from rewardmodel.learning.reference import standings
from rewardmodel.models import RewardCheckpoint
from rewardmodel.selectors import promoted_checkpoint
from rewardmodel.serving.client import request_scores
from rewardmodel.serving.protocol import parse_address

if TYPE_CHECKING:
    from rewardmodel.learning.scoring import Scorer


@dataclass(frozen=True)
class ImageScore:
    """What a reward model says of an image.

    Attributes:
        rank: among the images of the same prompt, 1 is best.
        truncated: whether the model reads only the beginning of the prompt.
        percentile: 0 to 100, among the images that the model was validated on; None where they are not known.
        preferred: 0 to 1, how probably people prefer it to the base's, as `base_reward` has it; or None.
    """

    score: float
    rank: int
    truncated: bool
    percentile: float | None = None
    preferred: float | None = None


@dataclass(frozen=True)
class ScoredImages:
    """What a reward model, by its name, says of images, in their order.

    over: what `preferred` compares with, in words; "" where nothing is known of it.
    """

    checkpoint: str
    scores: list[ImageScore]
    over: str = ""


def scorer(checkpoint: RewardCheckpoint) -> Scorer:
    """Load a reward model, on a GPU if there is one; this imports torch. Raises: CheckpointError."""
    from rewardmodel.learning import load

    with local_copy(checkpoint.location) as place:
        return load(str(place))


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
        location=to_any_host(checkpoint.location),
        prompts=prompts,
        images=files,
        seconds=settings.SCORES_SECONDS,
        most_waiting=settings.SCORES_AT_ONCE,
        client=client,
    )
    ranks = rank_by_prompt(prompts, answer.scores)
    where = standings(answer.reference, answer.scores, over=checkpoint.base_reward)
    rows = zip(answer.scores, ranks, answer.truncated, where, strict=True)
    scores = [
        ImageScore(
            score,
            rank,
            truncated,
            standing.percentile if standing else None,
            standing.preferred if standing else None,
        )
        for score, rank, truncated, standing in rows
    ]
    return ScoredImages(checkpoint.name, scores, checkpoint.compared_with if answer.reference else "")


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
    connection = getattr(connection, "socket", connection)  # as `config.web.output` has it
    return connection if type(connection) is socket.socket else None

"""Scores of a project's images, by one reward model."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from django.db.models import QuerySet

from annotation.local_images import local_images
from annotation.models import Generation
from annotation.services.assignments.priorities import record_scores
from rewardmodel.learning.errors import Interrupted
from rewardmodel.learning.reference import standings
from rewardmodel.models import RewardCheckpoint, Run
from rewardmodel.runs.execution import Heartbeat
from rewardmodel.scoring import scorer
from rewardmodel.services.choices import order_by_design
from rewardmodel.services.splits import Splits, dataset_splits
from rewardmodel.services.unreadable import look_at, record_unreadable

if TYPE_CHECKING:
    from rewardmodel.learning.scoring import Scorer

CHUNK = 128  # images between two looks at whether to stop


@dataclass
class Scored:
    """How many images were scored, and which were passed over: "SOURCE of prompt KEY" -> why."""

    images: int = 0
    unreadable: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class _Image:
    """An image to score. `file` is its name in the storage."""

    generation_id: int
    prompt: str
    file: str
    name: str


def score_generations(
    *,
    checkpoint: RewardCheckpoint,
    should_stop: Callable[[], bool] = lambda: False,
    on_chunk: Callable[[int, int], None] = lambda done, wanted: None,
    left_out: Collection[str] = (),
) -> Scored:
    """Score every image of the checkpoint's project that it has not scored yet.

    An image that cannot be read, or that the model cannot take, is passed over.
    Where the project's open tasks are in the order of a design, they are put in it anew, if anything was
    scored, or opened since they were.

    Args:
        should_stop: asked after each chunk; what was scored until then is kept.
        on_chunk: called after each chunk with the images done and wanted.
        left_out: hashes of images that are passed over, known to be unreadable.
    Raises: CheckpointError.
    """
    unscored = (
        _images_of(checkpoint)
        .exclude(scored_by=checkpoint.name)
        .order_by("pk")
        .values_list("pk", "prompt__text", "image__file", "source", "prompt__key")
    )
    wanted = [
        _Image(pk, text, file, f"{source} of prompt {key}")
        for pk, text, file, source, key in unscored.exclude(image__in=left_out)
    ]
    scored = _score(checkpoint, wanted, should_stop, on_chunk) if wanted else Scored()
    order_by_design(checkpoint, scored_anew=scored.images > 0, should_stop=should_stop)
    return scored


def _score(
    checkpoint: RewardCheckpoint,
    wanted: Sequence[_Image],
    should_stop: Callable[[], bool],
    on_chunk: Callable[[int, int], None],
) -> Scored:
    splits = dataset_splits(checkpoint.run.dataset) if checkpoint.run else None
    model, scored = scorer(checkpoint), Scored()
    for start in range(0, len(wanted), CHUNK):
        if should_stop():
            break
        chunk = wanted[start : start + CHUNK]
        scores = _score_readable(model, chunk, scored)
        readable = [image for image in chunk if image.generation_id in scores]
        if readable and not scored.images:  # killed before it orders tasks anew, the next one knows
            RewardCheckpoint.objects.filter(pk=checkpoint.pk).update(ordered_at=None)
        where = standings(model.config.reference, list(scores.values()), over=checkpoint.base_reward)
        record_scores(
            standings={
                image.generation_id: (standing.percentile, standing.preferred)
                for image, standing in zip(readable, where, strict=True)
                if standing is not None
            },
            scores=scores,
            scale=model.config.std,
            scored_by=checkpoint.name,
            unseen={image.generation_id for image in readable if _is_unseen(image.prompt, splits)},
        )
        scored.images += len(readable)
        on_chunk(start + len(chunk), len(wanted))
    return scored


def _score_readable(model: Scorer, images: Sequence[_Image], scored: Scored) -> dict[int, float]:
    """Return the scores of those images that can be read, by id and in order; note the others in `scored`."""
    from rewardmodel.learning.data.preprocessing import UnreadableImage
    from rewardmodel.learning.scoring import ImageSkipped

    with local_images(image.file for image in images) as folder:
        files = [folder / image.file for image in images]
        broken = look_at(files)
        scored.unreadable |= {
            image.name: broken[file] for image, file in zip(images, files, strict=True) if file in broken
        }
        pairs = [pair for pair in zip(images, files, strict=True) if pair[1] not in broken]
        images, files = [image for image, _ in pairs], [file for _, file in pairs]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ImageSkipped)  # each is noted below
            scores = model.score_pairs([image.prompt for image in images], files, on_error="nan")
        for image, file, score in zip(images, files, scores, strict=True):
            if math.isnan(score):
                try:
                    model.pixels(file)
                    why = "its score is not a number"
                except UnreadableImage as error:
                    why = str(error).removeprefix(f"{file}: ")
                scored.unreadable[image.name] = why
    return {
        image.generation_id: score
        for image, score in zip(images, scores, strict=True)
        if not math.isnan(score)
    }


def score_with_newly_promoted(run: Run, heartbeat: Heartbeat, *, left_out: Collection[str] = ()) -> None:
    """Score the project's images with its promoted checkpoint, if it became that since the run was queued.

    Args: left_out: as `score_generations` has it.
    Raises: Interrupted, and what `score_generations` raises.
    """
    promoted = RewardCheckpoint.objects.promoted().filter(project=run.project_id)
    checkpoint = promoted.filter(promoted_at__gte=run.created_at).first()
    if checkpoint is None:
        return
    score_for(run, heartbeat, checkpoint=checkpoint, left_out=left_out)


def score_for(
    run: Run, heartbeat: Heartbeat, *, checkpoint: RewardCheckpoint | None, left_out: Collection[str] = ()
) -> None:
    """Score the project's images at the end of a run, and record which were passed over.

    However many these are: what the run was for is done.

    Args:
        checkpoint: None scores nothing.
        left_out: as `score_generations` has it.
    Raises: Interrupted, and what `score_generations` raises.
    """
    if checkpoint is not None:
        scored = score_generations(
            checkpoint=checkpoint, should_stop=heartbeat.should_stop, left_out=left_out
        )
        record_unreadable(
            run, scored.unreadable, images=images_to_score(checkpoint), of=f"images scored by {checkpoint}"
        )
    if heartbeat.should_stop():
        raise Interrupted


def images_to_score(checkpoint: RewardCheckpoint) -> int:
    """How many images the checkpoint's project has."""
    return _images_of(checkpoint).count()


def _images_of(checkpoint: RewardCheckpoint) -> QuerySet[Generation]:
    return Generation.objects.filter(prompt__project=checkpoint.project, image__isnull=False)


def _is_unseen(prompt: str, splits: Splits | None) -> bool:
    """Whether the prompt is none of those that the checkpoint's run learns from, now or when data grows.

    Args: splits: how its run splits prompts; None where no run made it.
    """
    return splits is None or splits.of(prompt) == "test"

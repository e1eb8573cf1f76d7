"""Scores of a project's images, by one reward model."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

from annotation.local_images import local_images
from annotation.models import Generation
from annotation.services.assignments.priorities import record_scores
from rewardmodel.learning.errors import Interrupted
from rewardmodel.learning.reference import standings
from rewardmodel.models import RewardCheckpoint, Run
from rewardmodel.runs.execution import Heartbeat
from rewardmodel.services.choices import order_by_design
from rewardmodel.services.splits import Splits, dataset_splits

CHUNK = 128  # images between two looks at whether to stop


def score_generations(
    *,
    checkpoint: RewardCheckpoint,
    should_stop: Callable[[], bool] = lambda: False,
    on_chunk: Callable[[int, int], None] = lambda done, wanted: None,
    left_out: Collection[str] = (),
) -> int:
    """Score every image of the checkpoint's project that it has not scored yet; returns how many.

    Where the project's open tasks are in the order of a design, they are put in it anew, if anything was
    scored, or opened since they were.

    Args:
        should_stop: asked after each chunk; what was scored until then is kept.
        on_chunk: called after each chunk with the images done and wanted.
        left_out: hashes of images that are passed over, known to be unreadable.
    Raises: CheckpointError, UnreadableImage, WrongContent.
    """
    unscored = (
        Generation.objects.filter(prompt__project=checkpoint.project, image__isnull=False)
        .exclude(scored_by=checkpoint.name)
        .order_by("pk")
        .values_list("pk", "prompt__text", "image__file")
    )
    wanted = list(unscored.exclude(image__in=left_out))
    done = _score(checkpoint, wanted, should_stop, on_chunk) if wanted else 0
    order_by_design(checkpoint, scored_anew=done > 0, should_stop=should_stop)
    return done


def _score(
    checkpoint: RewardCheckpoint,
    wanted: Sequence[tuple[int, str, str]],
    should_stop: Callable[[], bool],
    on_chunk: Callable[[int, int], None],
) -> int:
    """Score these images, each by its id, its prompt and its name in the storage; return how many."""
    from rewardmodel.learning import load

    splits = dataset_splits(checkpoint.run.dataset) if checkpoint.run else None
    model, done = load(checkpoint.location), 0
    for start in range(0, len(wanted), CHUNK):
        if should_stop():
            break
        chunk = wanted[start : start + CHUNK]
        with local_images(file for _, _, file in chunk) as folder:
            scores = model.score_pairs(
                [text for _, text, _ in chunk], [folder / file for _, _, file in chunk]
            )
        where = standings(model.config.reference, scores, over=checkpoint.base_reward)
        record_scores(
            standings={
                pk: (standing.percentile, standing.preferred)
                for (pk, _, _), standing in zip(chunk, where, strict=True)
                if standing is not None
            },
            scores={pk: score for (pk, _, _), score in zip(chunk, scores, strict=True)},
            scale=model.config.std,
            scored_by=checkpoint.name,
            unseen={pk for pk, text, _ in chunk if _is_unseen(text, splits)},
        )
        done += len(chunk)
        on_chunk(done, len(wanted))
    return done


def score_with_newly_promoted(run: Run, heartbeat: Heartbeat, *, left_out: Collection[str] = ()) -> None:
    """Score the project's images with its promoted checkpoint, if it became that since the run was queued.

    Args: left_out: as `score_generations` has it.
    Raises: Interrupted, and what `score_generations` raises.
    """
    promoted = RewardCheckpoint.objects.promoted().filter(project=run.project_id)
    checkpoint = promoted.filter(promoted_at__gte=run.created_at).first()
    if checkpoint is None:
        return
    score_generations(checkpoint=checkpoint, should_stop=heartbeat.should_stop, left_out=left_out)
    if heartbeat.should_stop():
        raise Interrupted


def _is_unseen(prompt: str, splits: Splits | None) -> bool:
    """Whether the prompt is none of those that the checkpoint's run learns from, now or when data grows.

    Args: splits: how its run splits prompts; None where no run made it.
    """
    return splits is None or splits.of(prompt) == "test"

"""What a reward model is worth: how often it orders test pairs as people did, beside its rivals."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from django.conf import settings

from rewardmodel.models import DatasetVersion, TrainingRun
from rewardmodel.selectors import NothingPromoted, promoted_checkpoint

if TYPE_CHECKING:
    from rewardmodel.learning.evaluation import Evaluation


def measure(run: TrainingRun) -> dict[str, Any]:
    """Metrics of the checkpoint the run made, beside the promoted one and the one it started from.

    All are evaluated on the test split of the run's dataset.

    Raises: CheckpointError, UnreadableImage; ValueError when the split has no pair.
    """
    from rewardmodel.learning.evaluation import compare

    rivals = {run.initial_id: run.initial}
    try:
        promoted = promoted_checkpoint(run.project)
        rivals[promoted.pk] = promoted
    except NothingPromoted:
        pass
    own = evaluate(str(run.folder / "best"), dataset=run.dataset)
    beside = []
    for rival in rivals.values():
        theirs = evaluate(rival.location, dataset=run.dataset)
        gain = compare(own, theirs)
        beside.append(
            {
                **figures(theirs),
                "id": rival.pk,
                "name": rival.name,
                "difference": gain.difference,
                "difference_interval": [gain.interval.low, gain.interval.high],
            }
        )
    return {
        **figures(own),
        "dataset": run.dataset.hash,
        "ceiling": run.dataset.ceiling,
        "beside": beside,
    }


def evaluate(location: str, *, dataset: DatasetVersion, split: str = "test") -> Evaluation:
    """Evaluate one checkpoint on one split of a dataset version.

    Raises: CheckpointError, UnreadableImage; ValueError when the split has no pair.
    """
    from rewardmodel.learning import load
    from rewardmodel.learning.data import load_rankings
    from rewardmodel.learning.evaluation import evaluate as evaluate_model

    rankings = load_rankings(dataset.path, split, Path(settings.MEDIA_ROOT))
    return evaluate_model(load(location), rankings)


def figures(evaluation: Evaluation) -> dict[str, Any]:
    """What is kept of an evaluation: shares are 0 to 1."""
    return {
        "accuracy": evaluation.accuracy,
        "accuracy_by_prompt": evaluation.accuracy_by_prompt,
        "interval": [evaluation.interval.low, evaluation.interval.high],
        "pairs": evaluation.pairs,
        "prompts": evaluation.prompts,
    }

"""Which preferences a generator is tuned on, where its method learns from them."""

from __future__ import annotations

from datetime import datetime

from rewardmodel.models import DatasetVersion, RewardCheckpoint


def preference_dataset(checkpoint: RewardCheckpoint, *, until: datetime) -> DatasetVersion | None:
    """Return the dataset version with the preferences, or None where none has any to train on.

    It is the one that the reward model learned from, so that what judges the result is held out from both;
    for a model that was not trained here, the project's newest of that time.
    """
    newest = DatasetVersion.objects.filter(project=checkpoint.project, created_at__lte=until)
    dataset = checkpoint.run.dataset if checkpoint.run else newest.first()
    if dataset is None or not dataset.counts.get("train", {}).get("pairs"):
        return None
    return dataset

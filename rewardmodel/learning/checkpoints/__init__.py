"""Reward models on disk and on the hub: our own, and those that others published."""

from rewardmodel.learning.checkpoints.folder import (
    Checkpoint,
    CheckpointConfig,
    find,
    load,
    save,
    settle,
)

__all__ = ["Checkpoint", "CheckpointConfig", "find", "load", "save", "settle"]

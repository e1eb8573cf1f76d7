"""How a run begins: its processes meet, the images are looked at, the first step is made."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import closing, suppress
from pathlib import Path

import torch

from rewardmodel.learning.config import RewardConfig
from rewardmodel.learning.data.rankings import DatasetError, Rankings, load_splits
from rewardmodel.learning.errors import Interrupted
from rewardmodel.learning.training.distributed import ProcessGroup, process_group
from rewardmodel.learning.training.inspection import Inspection, InspectionStopped, inspect, refuse, usable
from rewardmodel.learning.training.progress import Progress, Start, TrainingResult
from rewardmodel.learning.training.run import Job, Run
from rewardmodel.learning.training.signals import stopping_at_signals


def train(
    config: RewardConfig,
    *,
    dataset: Path,
    images: Path,
    initial: Path,
    folder: Path,
    on_step: Callable[[Progress], None],
    should_stop: Callable[[], bool] = lambda: False,
    on_checked: Callable[[int, int], None] = lambda checked, images: None,
    on_start: Callable[[Start], None] = lambda start: None,
    device: str | torch.device | None = None,
    kept: Path | None = None,
) -> TrainingResult:
    """Train to the end, from the folder's last saved state if it holds one.

    Args:
        dataset: folder of a dataset version, with its train and validation splits.
        images: what the image paths in it are relative to.
        initial: checkpoint to start from.
        folder: the run's own; gets the state while it runs and `best/`, the result.
        on_step: called after each step; again for those that a resumed run makes again.
        should_stop: asked after each step.
        on_checked: called while the images are looked at, with how many of how many are.
        on_start: called once, before the first step.
        device: None takes a GPU if there is one.
        kept: where runs share what they made of images; `folder` when not given.

    Under torchrun the processes share the work: the first one's arguments count, it alone reports and writes,
    and whichever is asked to stop stops all. The others may call `join` instead.

    Raises: DatasetError, CheckpointError, UnreadableImage, TrainingDiverged; NotSaved, what was saved
        before being whole; Interrupted when asked to stop;
        PeerFailed where another process failed.
    """
    job = Job(config, dataset, images, initial, folder, kept or folder)
    with process_group(device) as group:
        given = group.broadcast(job)
        assert given is not None
        return _work(given, group, on_step, should_stop, on_checked, on_start)


def join(device: str | torch.device | None = None) -> None:
    """Take part in the run that the leading process calls `train` for; return when it ends or stops.

    Raises: as `train`.
    """
    with stopping_at_signals() as should_stop, process_group(device) as group:
        job: Job | None = group.broadcast(None)
        if job is not None:
            with suppress(Interrupted):
                _work(job, group, lambda progress: None, should_stop)


def release_peers() -> None:
    """Let those that follow go: there is nothing to train."""
    with process_group(None) as group:
        group.broadcast(None)


def _work(
    job: Job,
    group: ProcessGroup,
    on_step: Callable[[Progress], None],
    should_stop: Callable[[], bool],
    on_checked: Callable[[int, int], None] = lambda checked, images: None,
    on_start: Callable[[Start], None] = lambda start: None,
) -> TrainingResult:
    with group.error_barrier():
        splits = load_splits(job.dataset, job.images)
    found = _inspect(job, splits, group, on_checked, should_stop)
    with torch.random.fork_rng(devices=None if group.device.type == "cuda" else []):
        with group.error_barrier():
            run = Run(job, group, _usable(job, splits, found))
            if group.is_main_process:
                on_start(Start(run.trainable, found))
        with closing(run.pixels):
            return run.to_end(on_step, should_stop)


def _inspect(
    job: Job,
    splits: Mapping[str, Rankings],
    group: ProcessGroup,
    on_checked: Callable[[int, int], None],
    should_stop: Callable[[], bool],
) -> Inspection:
    """Look at all images, those of the test split too. Raises: UnreadableImage, Interrupted."""
    try:
        found = inspect(
            splits,
            group=group,
            folder=job.folder,
            data=f"{splits['train'].digest} {job.images}",
            on_checked=on_checked,
            should_stop=should_stop,
            again=job.config.unreadable_images == "refuse",
        )
    except InspectionStopped as stopped:  # that one was asked to stop is no failure of any
        raise Interrupted(str(stopped)) from stopped
    with group.error_barrier():
        if group.is_main_process and job.config.unreadable_images == "refuse":
            refuse(found)
    return found


def _usable(job: Job, splits: Mapping[str, Rankings], found: Inspection) -> tuple[Rankings, Rankings]:
    """Training and validation, without the rankings that cannot be read. Raises: DatasetError."""
    training, validation = usable(splits["train"], found), usable(splits["validation"], found)
    for split, name in ((training, "train"), (validation, "validation")):
        if not split:
            raise DatasetError(f"{job.dataset}: no {name} ranking has two images in different places")
    if job.config.soft_labels and any(ranking.preferred is None for ranking in training):
        raise DatasetError(f"{job.dataset}: has no soft labels; freeze it with them")
    return training, validation

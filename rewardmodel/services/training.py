"""Training a project's reward model: asking for a run, and what that run does."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.db import connection, transaction
from django.utils.timezone import now

from annotation.models import Project, User
from annotation.places import on_this_host, to_any_host
from annotation.stored_files import exists, is_elsewhere, local_copy
from rewardmodel.learning.config import RewardConfig
from rewardmodel.learning.errors import Interrupted
from rewardmodel.models import DatasetVersion, RewardCheckpoint, TrainingPolicy, TrainingRun
from rewardmodel.runs import states
from rewardmodel.runs.execution import Heartbeat, PermanentFailure
from rewardmodel.runs.policies import policy_config
from rewardmodel.selectors import initial_checkpoint, recipe_of
from rewardmodel.services.checkpoints import lock_promotions, record_checkpoint
from rewardmodel.services.datasets import dataset_images, freeze_dataset
from rewardmodel.services.evaluations import measure, record_figures, unreadable_images
from rewardmodel.services.learning_alarms import LearningWatch
from rewardmodel.services.promotions import NotComparable, decide, decide_again
from rewardmodel.services.scores import score_with_newly_promoted

if TYPE_CHECKING:
    from rewardmodel.learning.training import Progress, Start, TrainingArguments


logger = logging.getLogger(__name__)
CURVE_SHARES = (0.25, 0.5)  # of the training rankings
LEAST_RANKINGS = 10  # ours: less than that teaches nothing that could be measured
REPORTED = 50  # names of unreadable files kept with the run


class NotTrainable(Exception):
    """A run with this dataset or configuration could not work; the message says why."""


class CannotTrain(PermanentFailure):
    """What was found on the way stands against the run, however often it is tried; the message says what."""


def queue_training(
    *,
    project: Project,
    dataset: DatasetVersion | None = None,
    initial: RewardCheckpoint | None = None,
    config: Mapping[str, Any] | None = None,
    by: User | None = None,
    because: str = "",
) -> TrainingRun:
    """Ask for a training run.

    Args:
        dataset: None freezes what is finished now.
        initial: None starts from the checkpoint registered last.
        config: fields of a RewardConfig that differ from the defaults; None takes the project's policy.
        by: who asks, for the log; None for a command, or what came due.
        because: why, where nobody asks.
    Raises: NotTrainable, NothingToFreeze, NothingRegistered.
    """
    if config is None:
        config = policy_config(TrainingPolicy, project)
    try:
        complete = RewardConfig(**config).to_dict()
    except (TypeError, ValueError) as error:
        raise NotTrainable(f"configuration: {error}") from error
    initial = initial or initial_checkpoint(project)
    dataset = dataset or freeze_dataset(
        project=project,
        soft_labels=complete["soft_labels"],
        ratings=bool(complete["aspects"]),
        by=by,
        because=because,
    )
    empty = [split for split, counts in dataset.counts.items() if not counts["pairs"]]
    if empty:
        raise NotTrainable(
            f"dataset {dataset}: no two images in different slots in the split(s) {', '.join(empty)}; "
            "more prompts have to be ranked first"
        )
    with transaction.atomic():
        run = TrainingRun.objects.create(project=project, dataset=dataset, initial=initial, config=complete)
        return states.record_request(run, by=by, because=because)


@transaction.atomic
def queue_learning_curve(*, project: Project, by: User | None = None) -> list[TrainingRun]:
    """Ask for trainings on a quarter and on half of the rankings that the newest whole training learned from.

    With it they are three sizes, all measured on the same pairs: enough for a forecast. What was asked for
    already is not asked for again.

    Raises: NotTrainable where nothing was trained on all of a dataset yet, or too little, or all is there.
    """
    lock_promotions(project.pk)  # who asks at the same time finds these runs
    trained = TrainingRun.objects.filter(project=project, state=TrainingRun.State.FINISHED)
    whole = next(
        (run for run in trained.select_related("dataset").order_by("-pk") if not run.is_partial), None
    )
    if whole is None:
        raise NotTrainable(f"{project.slug}: train a model on all rankings first")
    if whole.rankings * min(CURVE_SHARES) < LEAST_RANKINGS:
        raise NotTrainable(
            f"{project.slug}: a quarter of {whole.rankings} training rankings is fewer than {LEAST_RANKINGS}"
        )
    others = TrainingRun.objects.filter(dataset=whole.dataset, initial=whole.initial).exclude(
        state__in=[TrainingRun.State.FAILED, TrainingRun.State.CANCELLED]
    )
    existing = {run.train_share for run in others if recipe_of(run) == recipe_of(whole)}
    runs = [
        queue_training(
            project=project,
            dataset=whole.dataset,
            initial=whole.initial,
            config=whole.config | {"train_share": share},
            by=by,
            because="a point of the learning curve",
        )
        for share in CURVE_SHARES
        if share not in existing
    ]
    if not runs:
        raise NotTrainable(f"{project.slug}: the parts of dataset {whole.dataset} were asked for already")
    return runs


def train(run: TrainingRun, heartbeat: Heartbeat) -> None:
    """Do the run's work. Done again after an interruption, it goes on where it stopped.

    1. Learn from the dataset, to a checkpoint in the run's folder.
    2. Measure it on the test split, record it, and promote it if it is better than the promoted one,
       as surely as the project wants.
    3. Score the project's images with what was promoted so.

    Raises: Interrupted, CannotTrain; what else `rewardmodel.learning.training.train` raises.
    """
    from rewardmodel.learning import training

    if not RewardCheckpoint.objects.filter(run=run).exists():
        with _images(run, heartbeat) as images:
            _learn(run, heartbeat, images)
            heartbeat.folder.store()  # whoever is told of the checkpoint may load it at once
            _measure_and_record(run, heartbeat, images)
    else:
        training.release_peers()
    training.discard_state(run.folder)
    score_with_newly_promoted(run, heartbeat, left_out=unreadable_images(run))


def share_training() -> None:
    """Take part in a run that a worker of another host carries out, with files of this host.

    Raises: what `rewardmodel.learning.training.join` raises; TrainingRun.DoesNotExist.
    """
    from rewardmodel.learning import training

    training.join(files=_files_of_host)


@contextmanager
def _files_of_host(arguments: TrainingArguments) -> Iterator[TrainingArguments]:
    """Provide what another host trains with: dataset, images, initial checkpoint, the state to go on from."""
    from rewardmodel.learning import checkpoints
    from rewardmodel.learning.training import STATE

    run = TrainingRun.objects.get(pk=arguments.run["id"])
    with (
        dataset_images(run.dataset) as images,
        local_copy(run.dataset.path) as dataset,
        local_copy(on_this_host(arguments.run["initial"])) as initial,
        local_copy(run.folder / STATE) as state,
        TemporaryDirectory() as empty,
    ):
        connection.close()  # a training may take days
        is_left = is_elsewhere() and state == run.folder / STATE  # of an attempt here; none is stored
        yield replace(
            arguments,
            dataset=dataset,
            images=images,
            initial=checkpoints.find(str(initial)),
            folder=Path(empty) if is_left else state.parent,
            cache=Path(settings.RUNS_DIR),
        )


@contextmanager
def _images(run: TrainingRun, heartbeat: Heartbeat) -> Iterator[Path]:
    """The folder of the run's images: those of all splits, which are inspected."""
    from rewardmodel.learning import training

    with ExitStack() as stack:
        try:
            images = stack.enter_context(dataset_images(run.dataset, should_stop=heartbeat.should_stop))
        except Exception:
            training.release_peers()  # they wait for what will not come
            raise
        yield images


def _learn(run: TrainingRun, heartbeat: Heartbeat, images: Path) -> None:
    from rewardmodel.learning import checkpoints, training
    from rewardmodel.learning.data.preprocessing import UnreadableImage

    watch = LearningWatch(run)

    def on_step(progress: Progress) -> None:
        heartbeat.report(step=progress.step, steps=progress.steps, values=progress.measures)
        watch.look(progress)

    initial = run.report.get("hub_id") or checkpoints.settle(run.initial.location)

    def on_start(start: Start) -> None:
        record_start(run, start, hub_id="" if exists(Path(initial)) else initial)

    def on_checked(checked: int, images: int) -> None:
        logger.info("Looked at %s of %s images", f"{checked:,}", f"{images:,}")

    try:
        with local_copy(run.dataset.path) as dataset, local_copy(initial) as place:
            training.train(
                RewardConfig(**run.config),
                dataset=dataset,
                images=images,
                initial=checkpoints.find(str(place)),
                folder=run.folder,
                cache=Path(settings.RUNS_DIR),
                run={"id": run.pk, "initial": to_any_host(initial)},
                callbacks=training.Callbacks(
                    on_checked=on_checked,
                    on_start=on_start,
                    on_step=on_step,
                    should_stop=heartbeat.should_stop,
                ),
            )
    except (UnreadableImage, training.TrainingDiverged) as error:
        raise CannotTrain(str(error)) from error


def record_start(run: TrainingRun, start: Start, *, hub_id: str = "") -> None:
    """Store what trains, and what was found of the images.

    Args: hub_id: of the weights that it began with, with its commit, to which a resumed run goes back; ""
        where they lay on this machine.
    """
    report = {
        "hub_id": hub_id,
        "trainable": start.trainable.trainable,
        "parameters": start.trainable.total,
        "images": start.images.images,
        "unreadable": len(start.images.unreadable),
        "unreadable_files": dict(islice(start.images.unreadable.items(), REPORTED)),
        "dropped": start.images.dropped,
    }
    run.report = run.report | report
    TrainingRun.objects.filter(pk=run.pk, attempt=run.attempt).update(report=run.report)


def _measure_and_record(run: TrainingRun, heartbeat: Heartbeat, images: Path) -> None:
    """Record what the run made, and decide whether to promote it: both, or neither.

    What learned from a part of the rankings, for a learning curve, is never promoted by itself. A checkpoint
    that waits comes first: it was measured on the same pairs, which may be enough by now.

    Raises: Interrupted.
    """
    left_out = unreadable_images(run)
    while not heartbeat.should_stop():
        measured = measure(run, images=images, left_out=left_out)
        try:
            with transaction.atomic():
                if measured.waiting is not None:
                    decide_again(*measured.waiting, now=now())
                checkpoint = record_checkpoint(run=run, metrics=measured.metrics)
                if not run.is_partial:
                    decide(checkpoint, now=now())
                record_figures(checkpoint, dataset=run.dataset, split="test", figures=measured.figures)
                return
        except NotComparable:
            continue  # another was promoted meanwhile: compare with that one
    raise Interrupted

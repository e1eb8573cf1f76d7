"""The training loop of the reward model: `train` in the main process of a run, `join` in all others."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from rewardmodel.learning.config import RewardConfig
from rewardmodel.learning.curves import CurveFiles
from rewardmodel.learning.data.rankings import load_splits
from rewardmodel.learning.errors import Interrupted
from rewardmodel.learning.losses import better_than, margins, pair_loss
from rewardmodel.learning.model.heads import aspect_score
from rewardmodel.learning.reference import Reference
from rewardmodel.learning.training.distributed import ProcessGroup, is_first_of_host, process_group
from rewardmodel.learning.training.inspection import inspect, refuse
from rewardmodel.learning.training.optimiser import learning_rate, set_learning_rate
from rewardmodel.learning.training.plan import Step
from rewardmodel.learning.training.progress import Callbacks, Progress, Start, TrainingResult, Validation
from rewardmodel.learning.training.run import Run, TrainingArguments, usable_splits
from rewardmodel.learning.training.signals import stopping_at_signals


def train(
    config: RewardConfig,
    *,
    dataset: Path,
    images: Path,
    initial: Path,
    folder: Path,
    cache: Path | None = None,
    callbacks: Callbacks | None = None,
    device: str | torch.device | None = None,
    run: Mapping[str, Any] | None = None,
) -> TrainingResult:
    """Train to the end, from the folder's last saved state if it holds one.

    Args:
        dataset: folder of a dataset version, with its train and validation splits.
        images: what the image paths in it are relative to.
        initial: checkpoint to start from.
        folder: the run's own; gets the state while it runs, `best/`, the result, and its curves as
            `CurveFiles` writes them.
        cache: where runs share what they computed of images; `folder` when not given.
        device: None takes a GPU if there is one.
        run: what processes of other hosts find these files by, in what they give to `join`.

    Under torchrun the processes share the work: the main process's arguments count, it alone reports and
    writes, and whichever is asked to stop stops all. The others may call `join` instead.

    Raises: DatasetError, CheckpointError, UnreadableImage, TrainingDiverged; NotSaved, what was saved
        before being whole; Interrupted when asked to stop; PeerFailed where another process failed.
    """
    arguments = TrainingArguments(config, dataset, images, initial, folder, cache or folder, run or {})
    with process_group(device) as group, _files_of_host(group.broadcast(arguments), group) as arguments:
        return _train(arguments, group, callbacks or Callbacks())


Files = Callable[[TrainingArguments], AbstractContextManager[TrainingArguments]]


def join(device: str | torch.device | None = None, *, files: Files = nullcontext) -> None:
    """Take part in the run that the main process calls `train` for; return when it ends or stops.

    Args: files: provides the arguments with the paths of this host, where it has others; may take hours.
    Raises: as `train`, and what `files` raises.
    """
    with stopping_at_signals() as should_stop, process_group(device) as group:
        arguments: TrainingArguments | None = group.broadcast(None)
        if arguments is not None:
            with _files_of_host(arguments, group, files) as arguments, suppress(Interrupted):
                _train(arguments, group, Callbacks(should_stop=should_stop))


def release_peers() -> None:
    """Let the processes that called `join` return: there is nothing to train."""
    with process_group(None) as group:
        group.broadcast(None)


@contextmanager
def _files_of_host(
    arguments: TrainingArguments, group: ProcessGroup, files: Files = nullcontext
) -> Iterator[TrainingArguments]:
    """Wait until every process has its files: one of each host first, which may fetch them for the others."""
    with ExitStack() as stack:
        for is_turn in (is_first_of_host(), not is_first_of_host()):
            with group.error_barrier(patient=True):
                if is_turn:
                    arguments = stack.enter_context(files(arguments))
        yield arguments


def _train(arguments: TrainingArguments, group: ProcessGroup, callbacks: Callbacks) -> TrainingResult:
    # 1. Check the images, build the model and its optimiser, take up the saved state.
    with _open_run(arguments, group, callbacks) as run, _open_curves(run) as curves:
        config, steps = run.config, len(run.plan)
        for step in run.plan[run.done :]:
            began = time.perf_counter()

            # 2. Learn from the step's rankings: gradients, then an update by Adam.
            rate = learning_rate(config, step.number, steps)
            set_learning_rate(run.optimiser, rate)
            loss, accuracy = _compute_gradients(run, step)
            _update_weights(run, step)
            seconds = time.perf_counter() - began

            # 3. Validate, and keep the best model so far.
            validation = _validate(run, step) if step.validates else None

            # 4. Report, before the state is saved that lets a resumed run skip this step.
            run.done = step.number + 1
            progress = Progress(
                step=run.done,
                steps=steps,
                epoch=step.epoch,
                loss=loss,
                accuracy=accuracy,
                learning_rate=rate,
                validation_loss=validation.loss if validation else None,
                validation_accuracy=validation.accuracy if validation else None,
                images_per_second=sum(len(r.images) for r in run.rankings_of(step)) / seconds,
            )
            stopping = _report(progress, group, callbacks, curves)

            # 5. Save the state, and stop if any process is asked to.
            if run.done == steps or stopping or run.done % config.checkpoint_every == 0:
                run.save()
            if stopping:
                raise Interrupted(f"after step {run.done} of {steps}")

        # 6. What reads the patches of the best model is fitted to what they are now.
        run.fit_artifact_heads(callbacks.should_stop)
        return run.result()


@contextmanager
def _open_run(arguments: TrainingArguments, group: ProcessGroup, callbacks: Callbacks) -> Iterator[Run]:
    """Check all images, those of the test split too, and set the run up; the caller's rng is left alone."""
    with group.error_barrier():
        splits = load_splits(arguments.dataset, arguments.images)
    config = arguments.config
    most = 0.0 if config.unreadable_images == "refuse" else config.most_unreadable
    inspection = inspect(
        splits,
        root=arguments.images,
        group=group,
        folder=arguments.folder,
        data=f"{splits['train'].digest} {arguments.images}",
        on_checked=callbacks.on_checked,
        should_stop=callbacks.should_stop,
        most=most,
    )
    with group.error_barrier():
        if group.is_main_process:
            refuse(inspection, most)
    with torch.random.fork_rng(devices=None if group.device.type == "cuda" else []):
        with group.error_barrier():
            run = Run(arguments, group, usable_splits(arguments, splits, inspection))
            if group.is_main_process:
                callbacks.on_start(Start(run.trainable, inspection))
        with closing(run.loader):
            run.check_peers()
            yield run


@contextmanager
def _open_curves(run: Run) -> Iterator[CurveFiles | None]:
    """The run's curves in files, which the main process writes; None in the others."""
    if not run.group.is_main_process:
        yield None
        return
    with CurveFiles(run.folder, done=run.done) as curves:
        yield curves


def _compute_gradients(run: Run, step: Step) -> tuple[float, float]:
    """Run forward and backward over the step's rankings, shared by all processes.

    Returns: the mean loss, in nats a pair, and the share of pairs that the model orders right.
    """
    run.model.train()
    run.optimiser.zero_grad(set_to_none=True)
    total, terms, right, pairs = 0.0, 0, 0, 0
    with run.group.error_barrier():
        for batch in run.training_batches(step):
            rewards, aspects = run.forward(batch)  # (B, K), and logits by aspect
            loss = run.objective(rewards, batch, aspects)
            if not torch.isfinite(loss):
                run.diverged(f"the loss is {loss.item()}", step, batch.at_fault(rewards))
            loss.backward()
            ordered = better_than(batch.places)  # (B, K, K)
            total += loss.item() * run.config.batch_pairs
            terms += run.objective.count_terms(batch.places)
            pairs += int(ordered.sum())
            right += int((ordered & (margins(rewards) > 0)).sum())
    loss_sum, term_count, right_count, pair_count = run.group.sum(total, terms, right, pairs)
    run.group.all_reduce_gradients(run.trained_parameters())
    return loss_sum / term_count, right_count / pair_count


def _update_weights(run: Run, step: Step) -> None:
    """Raises: TrainingDiverged before a gradient that is no finite number reaches the weights."""
    gradients = [p.grad for p in run.trained_parameters() if p.grad is not None]
    norm = torch.nn.utils.get_total_norm(gradients)
    if not torch.isfinite(norm):
        run.diverged(f"the gradient's norm is {norm.item()}", step, run.rankings_of(step))
    run.optimiser.step()
    if run.ema:
        run.ema.update()


@torch.no_grad()
def _validate(run: Run, step: Step) -> Validation:
    """Measure the model, or its average, on the validation split; save it if it is the best so far."""
    run.model.eval()
    losses, raw, of_pairs, right = [torch.zeros(0)], [torch.zeros(0)], [torch.zeros(0)], 0
    learned = [name for name in run.config.aspects if name not in run.model.artifact_heads]
    of_aspects: dict[str, list[Tensor]] = {name: [torch.zeros(0)] for name in learned}
    with run.averaged_weights():
        with run.group.error_barrier():
            for batch in run.validation_batches():
                rewards, aspects = run.forward(batch)  # (B, K), and logits by aspect
                if not rewards.isfinite().all():
                    what = "a validation reward is no finite number"
                    run.diverged(what, step, batch.at_fault(rewards))
                rewards = rewards.double()
                margin = margins(rewards)[better_than(batch.places)]  # (pairs,)
                losses.append(pair_loss(margin).cpu())
                of_pairs.append(margin.cpu())
                right += int((margin > 0).sum())
                raw.append(rewards[batch.real].cpu())
                for name, logits in aspects.items():
                    of_aspects[name].append(aspect_score(name, logits[batch.real].double()).cpu())
        loss = torch.cat(losses)
        loss_sum, right_count, pairs = run.group.sum(loss.sum().item(), right, len(loss))
        mean, std = _mean_and_deviation(torch.cat(raw), run.group)
        scales = {
            name: _mean_and_deviation(torch.cat(scores), run.group) for name, scores in of_aspects.items()
        }
        reference = _reference(torch.cat(raw), torch.cat(of_pairs), mean, std, run.group)
        validation = Validation(loss_sum / pairs, right_count / pairs, mean, std, scales, reference)
        if run.best is None or validation.loss < run.best.loss:
            run.save_best(validation, step)
    return validation


def _reference(raw: Tensor, margins: Tensor, mean: float, std: float, group: ProcessGroup) -> Reference:
    """What rewards are read against: raw rewards and margins of all processes, normalised as rewards are."""
    rewards = np.sort(np.concatenate(group.all_gather(raw.double().numpy())))  # in any number of processes
    differences = np.sort(np.concatenate(group.all_gather(margins.double().numpy())))
    return Reference.of((rewards - mean) / std, differences / std)


def _mean_and_deviation(values: Tensor, group: ProcessGroup) -> tuple[float, float]:
    """Over all processes' values; the deviation is 1 where all are equal."""
    total, count = group.sum(values.sum().item(), len(values))
    mean = total / count
    [squares] = group.sum((values - mean).square().sum().item())
    return mean, math.sqrt(squares / count) or 1.0


def _report(progress: Progress, group: ProcessGroup, callbacks: Callbacks, curves: CurveFiles | None) -> bool:
    """Report the step; return whether any process is asked to stop before the last one."""
    with group.error_barrier():
        if curves is not None:
            curves.record(progress.step, progress.measures)
            callbacks.on_step(progress)
        stop_requested = progress.step < progress.steps and callbacks.should_stop()
    return group.any(stop_requested)

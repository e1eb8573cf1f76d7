"""Training a reward model on rankings: it stops and resumes at any step without changing a number."""

from __future__ import annotations

import dataclasses
import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from rewardmodel.learning import checkpoints
from rewardmodel.learning.checkpoints import Checkpoint
from rewardmodel.learning.config import RewardConfig
from rewardmodel.learning.data import (
    Batch,
    DatasetError,
    PixelCache,
    Ranking,
    collate,
    fingerprint,
    load_rankings,
)
from rewardmodel.learning.losses import better_than, ranking_loss
from rewardmodel.learning.model import Trainable, freeze
from rewardmodel.learning.plan import Step, learning_rate, micro_batches, plan

STATE = "state.pt"
BEST = "best"


class Interrupted(Exception):
    """The run was asked to stop; it saved where it stands and resumes from there."""


class TrainingDiverged(ArithmeticError):
    """A loss or a weight is no finite number any more; the message names step and rankings."""


@dataclass(frozen=True)
class Progress:
    """Where a run stands after a step."""

    step: int  # 1..steps
    steps: int
    epoch: int  # 1..epochs
    loss: float  # nats a pair, this batch
    accuracy: float  # share of this batch's pairs ordered right
    learning_rate: float
    validation_loss: float | None  # None but where the run validated
    validation_accuracy: float | None
    images_per_second: float


@dataclass(frozen=True)
class Validation:
    """The model on the validation split."""

    loss: float  # nats a pair
    accuracy: float  # share of pairs ordered right
    mean: float  # of its raw rewards, each image once
    std: float


@dataclass(frozen=True)
class TrainingResult:
    """What a run made: the checkpoint with the lowest validation loss."""

    checkpoint: Path
    step: int
    steps: int
    validation: Validation
    trainable: Trainable


def train(
    config: RewardConfig,
    *,
    dataset: Path,
    images: Path,
    initial: Path,
    folder: Path,
    on_step: Callable[[Progress], None],
    should_stop: Callable[[], bool] = lambda: False,
    device: str | torch.device | None = None,
) -> TrainingResult:
    """Train to the end, from the folder's last saved state if it holds one.

    Args:
        dataset: folder of a dataset version, with its train and validation splits.
        images: what the image paths in it are relative to.
        initial: checkpoint to start from.
        folder: the run's own; gets the state while it runs and `best/`, the result.
        on_step: called after each step; again for those that a resumed run makes again.
        should_stop: asked after each step.
    Raises: DatasetError, CheckpointError, UnreadableImage, TrainingDiverged; Interrupted when asked to stop.
    """
    training_split = load_rankings(dataset, "train", images)
    validation_split = load_rankings(dataset, "validation", images)
    for split, name in ((training_split, "train"), (validation_split, "validation")):
        if not split:
            raise DatasetError(f"{dataset}: no {name} ranking has two images in different places")
    if config.soft_labels and any(ranking.preferred is None for ranking in training_split):
        raise DatasetError(f"{dataset}: has no soft labels; freeze it with them")
    if device is None:
        device = "cuda" if torch.cuda.is_available() else "cpu"
    folder.mkdir(parents=True, exist_ok=True)
    with torch.random.fork_rng(devices=None if torch.device(device).type == "cuda" else []):
        checkpoint = checkpoints.load(initial)
        run = _Run(config, checkpoint, training_split, validation_split, folder, torch.device(device))
        return run.to_end(on_step, should_stop)


def forget(folder: Path) -> None:
    """Throw away what resuming needs, which is larger than the checkpoint: the run is over and recorded."""
    (folder / STATE).unlink(missing_ok=True)


class _Run:
    """A model and its optimiser on their way through the planned steps."""

    def __init__(
        self,
        config: RewardConfig,
        checkpoint: Checkpoint,
        training_split: Sequence[Ranking],
        validation_split: Sequence[Ranking],
        folder: Path,
        device: torch.device,
    ) -> None:
        self.config, self.folder, self.device = config, folder, device
        self.validation_split = validation_split
        self.tokenizer, self.backbone = checkpoint.tokenizer, checkpoint.config.backbone
        self.data = fingerprint(training_split, validation_split)
        self.plan = plan(training_split, config)
        self.cache = PixelCache(self.backbone.vision.image_size, config.image_cache_bytes)
        torch.manual_seed(config.seed)
        self.model = checkpoint.model.to(device)
        self.trainable = freeze(self.model, config.fix_rate)
        self.optimiser = torch.optim.Adam(
            [p for p in self.model.parameters() if p.requires_grad],
            lr=config.learning_rate,
            betas=(config.beta1, config.beta2),
            eps=config.epsilon,
        )
        self.done = 0
        self.best: Validation | None = None
        self.best_step = 0
        if (folder / STATE).exists():
            self.resume()

    def to_end(self, on_step: Callable[[Progress], None], should_stop: Callable[[], bool]) -> TrainingResult:
        for step in self.plan[self.done :]:
            progress = self.advance(step)
            self.done = step.number + 1
            last = self.done == len(self.plan)
            on_step(progress)  # before the state that lets a resumed run pass over this step
            if last or self.done % self.config.checkpoint_every == 0:
                self.save()
            if not last and should_stop():
                self.save()
                raise Interrupted(f"after step {self.done} of {len(self.plan)}")
        assert self.best is not None  # the last step of an epoch validates
        return TrainingResult(self.folder / BEST, self.best_step, len(self.plan), self.best, self.trainable)

    def advance(self, step: Step) -> Progress:
        began = time.perf_counter()
        rate = learning_rate(self.config, step.number, len(self.plan))
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        loss, right = self.learn(step)
        self.optimiser.step()
        seconds = time.perf_counter() - began
        validation = self.validate() if step.validates else None
        if validation is not None and (self.best is None or validation.loss < self.best.loss):
            self.keep(validation, step.number + 1)
        pairs = sum(ranking.pairs for ranking in step.rankings)
        return Progress(
            step=step.number + 1,
            steps=len(self.plan),
            epoch=step.epoch,
            loss=loss / pairs,
            accuracy=right / pairs,
            learning_rate=rate,
            validation_loss=validation.loss if validation else None,
            validation_accuracy=validation.accuracy if validation else None,
            images_per_second=sum(len(r.images) for r in step.rankings) / seconds,
        )

    def learn(self, step: Step) -> tuple[float, int]:
        """Gradients of one batch; its summed loss, and how many pairs came out right."""
        self.model.train()
        self.optimiser.zero_grad(set_to_none=True)
        total, right = 0.0, 0
        for part in micro_batches(step.rankings, self.config.micro_batch_images):
            batch = self.collate(part)
            rewards = self.model(batch.tokens, batch.mask, batch.images, batch.real)
            soft = batch.preferred if self.config.soft_labels else None
            loss = ranking_loss(rewards, batch.places, pairs=self.config.batch_pairs, preferred=soft)
            if not torch.isfinite(loss):
                names = ", ".join(ranking.id for ranking in part)
                at = f"step {step.number + 1} of {len(self.plan)}"
                raise TrainingDiverged(f"the loss is {loss.item()} at {at}, on the rankings {names}")
            loss.backward()  # type: ignore[no-untyped-call]
            total += loss.item() * self.config.batch_pairs
            right += int((better_than(batch.places) & (_margins(rewards) > 0)).sum())
        return total, right

    @torch.no_grad()
    def validate(self) -> Validation:
        self.model.eval()
        losses, rewards, right = [], [], 0
        for part in micro_batches(self.validation_split, self.config.micro_batch_images):
            batch = self.collate(part)
            own = self.model(batch.tokens, batch.mask, batch.images, batch.real).double()
            margins = _margins(own)[better_than(batch.places)]
            losses.append(-F.logsigmoid(margins))
            right += int((margins > 0).sum())
            rewards.append(own[batch.real])
        loss, raw = torch.cat(losses), torch.cat(rewards)
        if not loss.isfinite().all():
            raise TrainingDiverged(f"the validation loss is {loss.mean().item()} after step {self.done + 1}")
        std = raw.std(correction=0).item()
        return Validation(loss.mean().item(), right / len(loss), raw.mean().item(), std if std > 0 else 1.0)

    def collate(self, rankings: Sequence[Ranking]) -> Batch:
        return collate(
            rankings,
            cache=self.cache,
            tokenizer=self.tokenizer,
            max_tokens=self.config.max_tokens,
            device=self.device,
        )

    def keep(self, validation: Validation, step: int) -> None:
        """Write this model as the best so far."""
        self.best, self.best_step = validation, step
        own = checkpoints.CheckpointConfig(
            self.backbone, self.config.max_tokens, mean=validation.mean, std=validation.std
        )
        checkpoints.save(self.folder / BEST, model=self.model, tokenizer=self.tokenizer, config=own)

    def save(self) -> None:
        """Write all that resuming needs, whole, over the last such file."""
        if not all(bool(p.isfinite().all()) for p in self.model.parameters() if p.requires_grad):
            raise TrainingDiverged(f"a weight is not finite after step {self.done}")
        state = {
            "config": self.config.to_dict(),
            "data": self.data,
            "done": self.done,
            "best": self.best and dataclasses.asdict(self.best),
            "best_step": self.best_step,
            "model": self.model.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "chance": list(_chance(self.device)),
        }
        written = self.folder / f"{STATE}.new"
        with written.open("wb") as file:
            torch.save(state, file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(written, self.folder / STATE)

    def resume(self) -> None:
        """Take up the saved state. Raises: CheckpointError when it is another run's."""
        file = self.folder / STATE
        state: dict[str, Any] = torch.load(file, map_location="cpu", weights_only=True)
        if RewardConfig(**state["config"]) != self.config or state["data"] != self.data:
            raise checkpoints.CheckpointError(f"{file}: saved by a run with another config or dataset")
        self.model.load_state_dict(state["model"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.done, self.best_step = state["done"], state["best_step"]
        self.best = Validation(**state["best"]) if state["best"] else None
        torch.set_rng_state(state["chance"][0])
        if self.device.type == "cuda":
            torch.cuda.set_rng_state(state["chance"][1], self.device)


def _chance(device: torch.device) -> Iterator[Tensor]:
    """States of the generators that dropout draws from."""
    yield torch.get_rng_state()
    if device.type == "cuda":
        yield torch.cuda.get_rng_state(device)


def _margins(rewards: Tensor) -> Tensor:
    """(B, K) -> (B, K, K): i minus j."""
    return rewards[:, :, None] - rewards[:, None, :]

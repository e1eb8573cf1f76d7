"""The loop of a run: plan, learn, validate, keep the best, save."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import torch
from torch import Tensor

from rewardmodel.learning import checkpoints
from rewardmodel.learning.averaging import ExponentialMovingAverage
from rewardmodel.learning.config import RewardConfig
from rewardmodel.learning.data.pixels import Pixels
from rewardmodel.learning.data.rankings import Batch, Ranking, Rankings, collate, fingerprint
from rewardmodel.learning.errors import CheckpointError, Interrupted
from rewardmodel.learning.losses import better_than, margins
from rewardmodel.learning.model.lora import adapt
from rewardmodel.learning.model.reward import count_trainable, freeze
from rewardmodel.learning.training import state
from rewardmodel.learning.training.aspects import add_heads
from rewardmodel.learning.training.boundary import Boundary
from rewardmodel.learning.training.distributed import ProcessGroup
from rewardmodel.learning.training.objective import Objective
from rewardmodel.learning.training.optimiser import build_optimiser, learning_rate, set_rate
from rewardmodel.learning.training.plan import Step, micro_batches, plan
from rewardmodel.learning.training.precision import autocast
from rewardmodel.learning.training.progress import Progress, TrainingDiverged, TrainingResult, Validation
from rewardmodel.learning.training.validation import validate

BEST = "best"


@dataclass(frozen=True)
class Job:
    """What the leading process hands out: every host finds these files under the same paths."""

    config: RewardConfig
    dataset: Path
    images: Path
    initial: Path
    folder: Path
    kept: Path


class Run:
    """A model and its optimiser on their way through the planned steps."""

    def __init__(self, job: Job, group: ProcessGroup, splits: tuple[Rankings, Rankings]) -> None:
        self.config, self.folder, self.group = job.config, job.folder, group
        self.training_split, self.validation_split = splits
        checkpoint = checkpoints.load(job.initial)
        self.tokenizer, self.backbone = checkpoint.tokenizer, checkpoint.config.backbone
        self.data = fingerprint(self.training_split, self.validation_split)
        self.plan = plan(self.training_split.pairs, self.config)
        self.pixels = Pixels(self.backbone.image_input, job.kept / "pixels", self.config.pixel_cache_bytes)
        torch.manual_seed(self.config.seed)
        add_heads(checkpoint.model, self.config.aspects, self.training_split)
        self.model = checkpoint.model.to(group.device)
        freeze(self.model, self.config.fix_rate)
        self.model.backbone.set_gradient_checkpointing(self.config.recompute)
        if self.config.lora_rank:
            adapt(self.model, rank=self.config.lora_rank, alpha=self.config.lora_alpha)
        self.trainable = count_trainable(self.model)
        self.objective = Objective(self.config).to(group.device)
        self.optimiser = build_optimiser(self.model, self.objective, self.config)
        trained = [p for p in self.model.parameters() if p.requires_grad]
        self.ema = ExponentialMovingAverage(trained, self.config.ema) if self.config.ema else None
        self.done = 0
        self.best: Validation | None = None
        self.best_step = 0
        frozen = self.model.backbone.frozen_blocks
        self.boundary = self.open_boundary(job.kept / "activations") if frozen else None
        # Only where nothing in the frozen blocks differs from step to step may they run once an image.
        self.quiet = not (self.config.frozen_drop_path and self.model.backbone.stochastic_prefix)
        state.seed_per_rank(self.config.seed, group)
        self.resume()

    def to_end(self, on_step: Callable[[Progress], None], should_stop: Callable[[], bool]) -> TrainingResult:
        if len(set(self.group.all_gather((self.done, self.data)))) > 1:
            raise CheckpointError(
                f"{self.folder}: the processes of this run see other files there, or other data"
            )
        for step in self.plan[self.done :]:
            progress = self.advance(step)
            self.done = step.number + 1
            last = self.done == len(self.plan)
            with self.group.error_barrier():
                if self.group.is_main_process:
                    on_step(progress)  # before the state that lets a resumed run pass over this step
                asked = not last and should_stop()
            stops = self.group.any(asked)
            if last or stops or self.done % self.config.checkpoint_every == 0:
                self.save()
            if stops:
                raise Interrupted(f"after step {self.done} of {len(self.plan)}")
        assert self.best is not None  # the last step of an epoch validates
        return TrainingResult(self.folder / BEST, self.best_step, len(self.plan), self.best, self.trainable)

    def advance(self, step: Step) -> Progress:
        began = time.perf_counter()
        rate = learning_rate(self.config, step.number, len(self.plan))
        set_rate(self.optimiser, rate)
        with self.group.error_barrier():
            shares = self.learn(step)
        loss, terms, right, pairs = self.group.sum(*shares)
        self.group.all_reduce_gradients(p for group in self.optimiser.param_groups for p in group["params"])
        self.check_gradients(step)
        self.optimiser.step()
        if self.ema:
            self.ema.update()
        seconds = time.perf_counter() - began
        validation = self.judge(step) if step.validates else None
        return Progress(
            step=step.number + 1,
            steps=len(self.plan),
            epoch=step.epoch,
            loss=loss / terms,
            accuracy=right / pairs,
            learning_rate=rate,
            validation_loss=validation.loss if validation else None,
            validation_accuracy=validation.accuracy if validation else None,
            images_per_second=sum(len(r.images) for r in self.rankings_of(step)) / seconds,
        )

    def learn(self, step: Step) -> tuple[float, int, int, int]:
        """Gradients of this process's share of a batch.

        Returns: its summed loss, over how many terms; how many pairs came out right, of how many.
        """
        self.model.train()
        self.optimiser.zero_grad(set_to_none=True)
        total, terms, right, pairs = 0.0, 0, 0, 0
        for part, batch in self.batches(self.rankings_of(step), then=self.plan[step.number + 1 :][:1]):
            rewards, said = self.opinions(batch)
            loss = self.objective(rewards, batch, said)
            if not torch.isfinite(loss):
                self.diverged(f"the loss is {loss.item()}", step, _at_fault(part, rewards))
            loss.backward()
            total += loss.item() * self.config.batch_pairs
            ordered = better_than(batch.places)
            terms, pairs = terms + self.objective.terms(batch.places), pairs + int(ordered.sum())
            right += int((ordered & (margins(rewards) > 0)).sum())
        return total, terms, right, pairs

    def check_gradients(self, step: Step) -> None:
        """Before they reach the weights. Raises: TrainingDiverged."""
        trained = (p for group in self.optimiser.param_groups for p in group["params"])
        gradients = [p.grad for p in trained if p.grad is not None]
        norm = torch.nn.utils.get_total_norm(gradients)
        if not torch.isfinite(norm):
            self.diverged(f"the gradient's norm is {norm.item()}", step, self.rankings_of(step))

    def diverged(self, what: str, step: Step, rankings: Sequence[Ranking]) -> NoReturn:
        at = f"step {step.number + 1} of {len(self.plan)}"
        named = ("ranking " if len(rankings) == 1 else "rankings ") + ", ".join(r.id for r in rankings)
        kept = f"the best model so far is kept, of step {self.best_step}" if self.best else "none is kept yet"
        raise TrainingDiverged(f"{what} at {at}, on the {named}; {kept}")

    def judge(self, step: Step) -> Validation:
        """Validate the model, or the average of it, and keep it if it is the best so far."""
        with self.ema.average_parameters() if self.ema else nullcontext():
            validation = validate(self.judged(step), self.group)
            if self.best is None or validation.loss < self.best.loss:
                self.keep(validation, step.number + 1)
        return validation

    def rankings_of(self, step: Step) -> list[Ranking]:
        return [self.training_split[index] for index in step.rankings]

    def rewards(self, batch: Batch) -> Tensor:
        """Raw rewards of a batch, (B, K); in training and in validation."""
        return self.opinions(batch)[0]

    def opinions(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        """Raw rewards, and log odds of each aspect that is learned, (B, K, questions)."""
        with autocast(self.config, self.group.device):
            return self.model.forward_with_aspects(
                batch.tokens, batch.mask, batch.images, batch.real, batch.block
            )

    def judged(self, step: Step) -> Iterator[tuple[Batch, Tensor]]:
        """This process's share of the validation split, and its rewards. Raises: TrainingDiverged."""
        self.model.eval()
        for part, batch in self.batches(self.validation_split):
            rewards = self.rewards(batch)
            if not rewards.isfinite().all():
                self.diverged("a validation reward is no finite number", step, _at_fault(part, rewards))
            yield batch, rewards

    def batches(
        self, rankings: Iterable[Ranking], then: Sequence[Step] = ()
    ) -> Iterator[tuple[list[Ranking], Batch]]:
        """This process's share in parts; while one is at work, images of the next, or `then`, are decoded."""
        parts = micro_batches(self.group.shard(rankings), self.config.micro_batch_images)
        part = next(parts, None)
        self.expect(part or ())
        while part is not None:
            batch, following = self.collate(part), next(parts, None)
            after = self.group.shard(r for step in then for r in self.rankings_of(step))
            self.expect(after if following is None else following)
            yield part, batch
            part = following

    def expect(self, rankings: Iterable[Ranking]) -> None:
        files = [file for ranking in rankings for file in ranking.images]
        boundary = self.boundary_at_work
        self.pixels.expect(boundary.missing(files) if boundary else files)

    @property
    def boundary_at_work(self) -> Boundary | None:
        return self.boundary if self.quiet or not self.model.training else None

    def open_boundary(self, folder: Path) -> Boundary:
        pixels, device = self.pixels, self.group.device
        return Boundary(self.model, self.config, pixels=pixels, folder=folder, device=device)

    def collate(self, rankings: Sequence[Ranking]) -> Batch:
        return collate(
            rankings,
            pixels=self.pixels,
            tokenizer=self.tokenizer,
            max_tokens=self.config.max_tokens,
            device=self.group.device,
            boundary=self.boundary_at_work,
            aspects=self.config.aspects,
        )

    def keep(self, validation: Validation, step: int) -> None:
        """Write this model as the best so far."""
        self.best, self.best_step = validation, step
        mean, std, heads = validation.mean, validation.std, self.config.aspects
        own = checkpoints.CheckpointConfig(self.backbone, self.config.max_tokens, mean, std, heads)
        with self.group.error_barrier():
            if self.group.is_main_process:
                checkpoints.save(self.folder / BEST, model=self.model, tokenizer=self.tokenizer, config=own)

    def save(self) -> None:
        """Write all that resuming needs, whole, over the last such file."""
        chance = self.group.all_gather(state.rng_state(self.group.device))
        with self.group.error_barrier():
            if not all(bool(p.isfinite().all()) for p in self.model.parameters() if p.requires_grad):
                raise TrainingDiverged(f"a weight is not finite after step {self.done}")
            if self.group.is_main_process:
                state.write(self.folder, self.to_resume(chance))

    def to_resume(self, chance: list[list[Tensor]]) -> dict[str, Any]:
        return {
            "config": self.config.to_dict(),
            "data": self.data,
            "done": self.done,
            "best": self.best and dataclasses.asdict(self.best),
            "best_step": self.best_step,
            "model": self.model.state_dict(),
            "objective": self.objective.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "average": self.ema and self.ema.state_dict(),
            "chance": chance,
        }

    def resume(self) -> None:
        """Take up the saved state, if there is one. Raises: CheckpointError when it is another run's."""
        saved = state.read(self.folder, config=self.config, data=self.data)
        if saved is None:
            return
        self.model.load_state_dict(saved["model"])
        self.objective.load_state_dict(saved["objective"])
        self.optimiser.load_state_dict(saved["optimiser"])
        if self.ema:
            self.ema.load_state_dict(saved["average"])
        self.done, self.best_step = saved["done"], saved["best_step"]
        self.best = Validation(**saved["best"]) if saved["best"] else None
        state.set_rng_state(saved["chance"], self.group)


def _at_fault(rankings: Sequence[Ranking], rewards: Tensor) -> Sequence[Ranking]:
    """Those with a reward (B, K) that is no finite number; all of them where every reward is one."""
    broken = (~rewards.isfinite()).any(dim=1).tolist()
    return [ranking for ranking, bad in zip(rankings, broken, strict=True) if bad] or rankings

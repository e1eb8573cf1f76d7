"""A run: its model and optimiser, its data, and the state from which it resumes."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any, NoReturn, cast

import torch
from torch import Tensor, nn

from rewardmodel.learning import checkpoints
from rewardmodel.learning.averaging import ExponentialMovingAverage
from rewardmodel.learning.config import RewardConfig
from rewardmodel.learning.data.batches import Batch, BatchLoader
from rewardmodel.learning.data.pixels import Pixels
from rewardmodel.learning.data.rankings import DatasetError, Ranking, Rankings, fingerprint
from rewardmodel.learning.errors import CheckpointError, Interrupted
from rewardmodel.learning.losses import Objective
from rewardmodel.learning.model.aspects import shares
from rewardmodel.learning.model.heads import ArtifactHead, AspectHead
from rewardmodel.learning.model.lora import adapt
from rewardmodel.learning.model.reward import RewardModel, count_trainable, freeze
from rewardmodel.learning.training import state
from rewardmodel.learning.training.artifacts import fit_artifact_heads
from rewardmodel.learning.training.distributed import ProcessGroup
from rewardmodel.learning.training.frozen_features import FrozenFeatures
from rewardmodel.learning.training.inspection import Inspection, usable
from rewardmodel.learning.training.optimiser import build_optimiser
from rewardmodel.learning.training.plan import Step, plan
from rewardmodel.learning.training.precision import autocast
from rewardmodel.learning.training.progress import TrainingDiverged, TrainingResult, Validation

BEST = "best"


@dataclass(frozen=True)
class TrainingArguments:
    """What the main process broadcasts. The other processes of its host find these files under these paths.

    Attributes:
        run: what `train` was told: by it a host with files of its own finds them.
    """

    config: RewardConfig
    dataset: Path
    images: Path
    initial: Path
    folder: Path
    cache: Path
    run: Mapping[str, Any] = dataclasses.field(default_factory=dict)


class Run:
    """A model and its optimiser on their way through the planned steps.

    Attributes:
        done: steps made so far.
        best: the lowest validation so far, of step `best_step`.
    """

    def __init__(
        self, arguments: TrainingArguments, group: ProcessGroup, splits: tuple[Rankings, Rankings]
    ) -> None:
        self.config, self.folder, self.group = arguments.config, arguments.folder, group
        self.train_split, self.validation_split = splits
        self.data = fingerprint(*splits)
        self.plan = plan(self.train_split.pairs, self.config)
        self.done, self.best_step = 0, 0
        self.best: Validation | None = None
        self._build_model(arguments.initial)
        self._open_data(arguments.cache)
        state.seed_per_rank(self.config.seed, group)
        self.resume()

    def _build_model(self, initial: Path) -> None:
        """Load the initial model, choose what trains of it, and make its optimiser."""
        config, device = self.config, self.group.device
        checkpoint = checkpoints.load(initial)
        self.tokenizer = checkpoint.tokenizer
        torch.manual_seed(config.seed)
        add_aspect_heads(checkpoint.model, config.aspects, self.train_split)
        torch.manual_seed(config.seed)  # heads for artifacts draw their weights: what follows is as without
        self.model = checkpoint.model.to(device)
        freeze(self.model, config.fix_rate)
        self.model.backbone.set_gradient_checkpointing(config.recompute)
        if config.lora_rank:
            adapt(self.model, rank=config.lora_rank, alpha=config.lora_alpha)
        for head in self.model.artifact_heads.values():
            head.requires_grad_(False)  # they are fitted to what the finished model sees
        self.trainable = count_trainable(self.model)
        self.objective = Objective(config).to(device)
        self.optimiser = build_optimiser(self.model, self.objective, config)
        trained = [p for p in self.model.parameters() if p.requires_grad]
        self.ema = ExponentialMovingAverage(trained, config.ema) if config.ema else None

    def _open_data(self, cache: Path) -> None:
        config, device = self.config, self.group.device
        pixels = Pixels(self.model.config.image_input, cache / "pixels", config.pixel_cache_bytes)
        self.loader = BatchLoader(
            pixels=pixels,
            tokenizer=self.tokenizer,
            max_tokens=config.max_tokens,
            images=config.micro_batch_images,
            device=device,
            aspects=config.aspects,
        )
        self.frozen_features = None
        if self.model.backbone.frozen_blocks:
            folder = cache / "activations"
            self.frozen_features = FrozenFeatures(
                self.model, config, pixels=pixels, folder=folder, device=device
            )
        # With drop path in them, the frozen blocks give another output at each training step.
        self.deterministic_prefix = not (config.frozen_drop_path and self.model.backbone.stochastic_prefix)

    def check_peers(self) -> None:
        """Raises: CheckpointError unless all processes are at the same step of the same data."""
        if len(set(self.group.all_gather((self.done, self.data)))) > 1:
            raise CheckpointError(
                f"{self.folder}: the processes of this run see other files there, or other data"
            )

    def rankings_of(self, step: Step) -> list[Ranking]:
        return [self.train_split[index] for index in step.rankings]

    def training_batches(self, step: Step) -> Iterator[Batch]:
        """Yield this process's shard of the step's rankings, in micro-batches."""
        following = self.plan[step.number + 1 :][:1]
        upcoming = (ranking for each in following for ranking in self.rankings_of(each))
        features = self.frozen_features if self.deterministic_prefix else None
        shard = self.group.shard(self.rankings_of(step))
        return self.loader.load(shard, features=features, upcoming=self.group.shard(upcoming))

    def validation_batches(self) -> Iterator[Batch]:
        """Yield this process's shard of the validation split, in micro-batches."""
        return self.loader.load(self.group.shard(self.validation_split), features=self.frozen_features)

    def forward(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        """Return raw rewards, (B, K), and logits, (B, K, questions), of the aspects that the steps learn."""
        with autocast(self.config, self.group.device):
            return self.model.forward_with_aspects(
                batch.tokens, batch.mask, batch.images, batch.real, batch.block
            )

    def trained_parameters(self) -> Iterator[nn.Parameter]:
        """Yield what the optimiser updates: of the model and of the objective."""
        return (parameter for group in self.optimiser.param_groups for parameter in group["params"])

    def averaged_weights(self) -> AbstractContextManager[None]:
        """Within, the model has its averaged weights, if the run keeps an average."""
        return self.ema.average_parameters() if self.ema else nullcontext()

    def diverged(self, what: str, step: Step, rankings: Sequence[Ranking]) -> NoReturn:
        at = f"step {step.number + 1} of {len(self.plan)}"
        named = ("ranking " if len(rankings) == 1 else "rankings ") + ", ".join(r.id for r in rankings)
        kept = f"the best model so far is kept, of step {self.best_step}" if self.best else "none is kept yet"
        raise TrainingDiverged(f"{what} at {at}, on the {named}; {kept}")

    def save_best(self, validation: Validation, step: Step) -> None:
        """Write the model, with its present weights, as the best so far."""
        self.best, self.best_step = validation, step.number + 1
        with self.group.error_barrier():
            if self.group.is_main_process:
                config = checkpoints.CheckpointConfig(
                    self.model.config,
                    self.config.max_tokens,
                    validation.mean,
                    validation.std,
                    self.config.aspects,
                    aspect_scales=validation.aspect_scales,
                    reference=validation.reference,
                )
                checkpoints.save(
                    self.folder / BEST, model=self.model, tokenizer=self.tokenizer, config=config
                )

    def save(self) -> None:
        """Write all that resuming needs. Raises: TrainingDiverged where a weight is no finite number."""
        rng_states = self.group.all_gather(state.rng_state(self.group.device))
        with self.group.error_barrier():
            if not all(bool(p.isfinite().all()) for p in self.model.parameters() if p.requires_grad):
                raise TrainingDiverged(f"a weight is not finite after step {self.done}")
            if self.group.is_main_process:
                state.write(self.folder, self.state_dict(rng_states))

    def state_dict(self, rng_states: list[list[Tensor]]) -> dict[str, Any]:
        """The state, under the keys that `state.KEYS` lists."""
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
            "chance": rng_states,
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
        self.best = Validation.from_dict(saved["best"]) if saved["best"] else None
        state.set_rng_state(saved["chance"], self.group)

    def fit_artifact_heads(self, should_stop: Callable[[], bool]) -> None:
        """Fit the best model's heads that read patches, in the main process. Raises: Interrupted, in all."""
        if not self.model.artifact_heads:
            return
        stopped = False
        with self.group.error_barrier(patient=True):
            if self.group.is_main_process:
                try:
                    self._fit_artifact_heads(should_stop)
                except Interrupted:
                    stopped = True
        if self.group.any(stopped):
            raise Interrupted("while the heads for artifacts were fitted")

    def _fit_artifact_heads(self, should_stop: Callable[[], bool]) -> None:
        best = checkpoints.load(self.folder / BEST)
        best.model.aspect_heads.load_state_dict(
            # As new, even where a process fitted them and died before it could say so.
            best.model.aspect_heads.state_dict() | self._new_artifact_heads()
        )
        scales = fit_artifact_heads(
            best.model.to(self.group.device),
            train=self.train_split,
            validation=self.validation_split,
            pixels=self.loader.pixels,
            seed=self.config.seed,
            should_stop=should_stop,
        )
        config = dataclasses.replace(best.config, aspect_scales={**best.config.aspect_scales, **scales})
        checkpoints.save(self.folder / BEST, model=best.model, tokenizer=best.tokenizer, config=config)

    def _new_artifact_heads(self) -> dict[str, Tensor]:
        heads = self.model.artifact_heads
        return {f"{name}.{key}": value for name in heads for key, value in heads[name].state_dict().items()}

    def result(self) -> TrainingResult:
        assert self.best is not None  # the last step of an epoch validates
        return TrainingResult(self.folder / BEST, self.best_step, len(self.plan), self.best, self.trainable)


def usable_splits(
    arguments: TrainingArguments, splits: Mapping[str, Rankings], inspection: Inspection
) -> tuple[Rankings, Rankings]:
    """Return the train split, or the share of it to learn from, and the validation split, if readable.

    Raises: DatasetError.
    """
    train, validation = usable(splits["train"], inspection), usable(splits["validation"], inspection)
    train = take_share(train, arguments.config.train_share)
    for split, name in ((train, "train"), (validation, "validation")):
        if not split:
            raise DatasetError(f"{arguments.dataset}: no {name} ranking has two images in different places")
    if arguments.config.soft_labels and any(ranking.preferred is None for ranking in train):
        raise DatasetError(f"{arguments.dataset}: has no soft labels; freeze it with them")
    return train, validation


def take_share(rankings: Rankings, share: float) -> Rankings:
    """Return this share of the rankings, drawn by a hash of their ids: smaller shares lie within larger."""
    if share == 1:
        return rankings
    drawn = sorted((blake2b(ranking.id.encode()).digest(), ranking.id) for ranking in rankings)
    kept = {name for _, name in drawn[: round(share * len(drawn))]}
    return rankings.filter(lambda ranking: ranking.id in kept)


def add_aspect_heads(model: RewardModel, aspects: Sequence[str], rankings: Sequence[Ranking]) -> None:
    """Give the model heads for these aspects; new ones start at how often people said yes in the rankings.

    Raises: DatasetError where nobody said anything of an aspect; CheckpointError where the model can have
        no such heads.
    """
    new = model.set_aspects(aspects)
    for name in aspects:
        answers = (answer for ranking in rankings for answer in ranking.aspects.get(name, ()))
        yes = shares(answer for answer in answers if answer is not None)
        if not yes:
            raise DatasetError(
                f"no training ranking says anything of {name}: freeze the dataset with ratings"
            )
        if name in new:
            cast(AspectHead | ArtifactHead, model.aspect_heads[name]).start_at(yes)

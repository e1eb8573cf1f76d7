"""What an update changes: the weights that train, their optimizer, and their moving average."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from pkgutil import resolve_name
from typing import Any

import torch
from torch import Tensor

from refl.learning.config import WEIGHTS, TuningConfig
from refl.learning.embeddings import PromptEmbeddings
from refl.learning.families import Family
from refl.learning.families.conditioning import TextConditioning
from refl.learning.optimizer import build_optimizer, learning_rate
from refl.learning.precision import LossScale, compute_in
from refl.learning.weights import Trainable
from rewardmodel.learning.averaging import ExponentialMovingAverage
from rewardmodel.learning.training.distributed import ProcessGroup


class Tuner:
    """A pipeline being tuned; a method reads its config and family, and steps with `accumulate` and `step`.

    The denoiser stays in eval mode: it drops nothing out.

    Attributes:
        config: of the present stage.
        process_group: the processes that share the run; each has a share of every batch.
    """

    def __init__(
        self, config: TuningConfig, family: Family, process_group: ProcessGroup | None = None
    ) -> None:
        self.family = family
        self.process_group = process_group or ProcessGroup(family.device)
        if config.image_size:
            family.resize(config.image_size)
        family.freeze()
        if config.gradient_checkpointing:
            family.enable_gradient_checkpointing()
        self.weights: Trainable = resolve_name(WEIGHTS[config.weights])(family, config)
        compute_in(family, config.precision)
        self.embeddings = PromptEmbeddings(family)
        self.average: ExponentialMovingAverage | None = None
        self.begin_stage(config)

    def begin_stage(self, config: TuningConfig) -> None:
        """Go on from the averaged weights, if there are any, with a new optimizer and a new average."""
        if self.average:
            self.average.copy_to_parameters()
        self.config = config
        self.optimizer = build_optimizer(self.weights.parameters, config)
        self.loss_scale = LossScale(config.precision)
        self.average = (
            ExponentialMovingAverage(self.weights.parameters, config.ema, use_num_updates=config.ema_warmup)
            if config.ema
            else None
        )

    def restore_weights(self, state: Mapping[str, Any]) -> None:
        """Put stored weights into the pipeline, for good: the average of those before them ends."""
        self.weights.load_state_dict(state)
        self.average = None

    # Samples.

    def encode_prompts(self, prompts: Sequence[str]) -> TextConditioning:
        """Encode prompts as the family does, each one once a run."""
        return self.embeddings.encode(prompts)

    def microbatches(self, count: int) -> list[slice]:
        """Cut samples into parts that are in memory one at a time."""
        size = self.config.microbatch_size or count
        return [slice(start, min(start + size, count)) for start in range(0, count, size or 1)]

    @torch.no_grad()
    def map_samples(self, count: int, values: Callable[[slice], Tensor]) -> Tensor:
        """Compute something of each sample without gradient, in microbatches that the processes share.

        There may be any number of samples: where microbatches are whole batches, they are of a batch's size.

        Args: values: of the samples of a slice, (b, ...).
        Returns: (count, ...), on the CPU, the same in every process.
        """
        size = self.config.microbatch_size or self.config.batch_size
        group, parts = self.process_group, [slice(start, start + size) for start in range(0, count, size)]
        with group.error_barrier():
            own = {place: values(parts[place]).cpu() for place in range(group.rank, len(parts), group.size)}
        computed = {place: value for each in group.all_gather(own) for place, value in each.items()}
        return torch.cat([computed[place] for place in range(len(parts))])

    # An update.

    def set_learning_rate(self, update: int) -> float:
        """Set the rate of the stage's update 0..updates - 1, and return it."""
        rate = learning_rate(self.config, update)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        return rate

    def accumulate(
        self, count: int, measure: Callable[[slice], Mapping[str, Tensor]], weight: float = 1.0
    ) -> dict[str, float]:
        """Add the gradient of a batch's mean loss to that of what trains, and of nothing else.

        A reward model's own weights may ask for a gradient; they gather none.

        Args:
            count: samples of this process.
            measure: what is measured of the samples of a slice, one microbatch: tensors (b,), by name. The
                one named "loss" is differentiated.
            weight: multiplies the loss.
        Returns: the means over the whole batch, of all processes, by name; the loss is not weighted.
        """
        [whole] = self.process_group.sum(count)
        scale = weight * self.loss_scale.value / whole
        sums: dict[str, float] = {}
        with self.process_group.error_barrier():
            for part in self.microbatches(count):
                measured = measure(part)
                torch.autograd.backward(scale * measured["loss"].sum(), inputs=self.weights.parameters)
                for name, values in measured.items():
                    sums[name] = sums.get(name, 0.0) + values.detach().double().sum().item()
        names = sorted({name for each in self.process_group.all_gather(sorted(sums)) for name in each})
        means = self.process_group.sum(*(sums.get(name, 0.0) / whole for name in names))
        return dict(zip(names, means, strict=True))

    def step(self) -> float | None:
        """Add up the gradients of all processes, clip them, and step.

        Returns: the norm before clipping; None where a float16 gradient overflowed, and nothing moved.
        Raises: Diverged, nothing moved.
        """
        parameters = self.weights.parameters
        self.process_group.all_reduce_gradients(parameters)
        gradients = [weight.grad for weight in parameters if weight.grad is not None]
        scale = self.loss_scale.value
        norm = torch.nn.utils.get_total_norm(gradients).item() / scale
        self.loss_scale.update(norm)
        if is_finite := math.isfinite(norm):
            shrink = min(1.0, self.config.clip / (norm + 1e-6))  # as clip_grad_norm_ does
            torch._foreach_mul_(gradients, shrink / scale)
            self.optimizer.step()
        self.optimizer.zero_grad()
        return norm if is_finite else None

    def update_average(self) -> None:
        """Move the averaged weights, if there are any, towards the trained ones."""
        if self.average:
            self.average.update()

    # The result.

    def averaged(self) -> AbstractContextManager[None]:
        """Within, the pipeline has the averaged weights, if there are any, and they the trained ones."""
        return self.average.average_parameters() if self.average else nullcontext()

    def save(self, folder: Path) -> None:
        """Save the tuned pipeline, with the averaged weights if there are any."""
        with self.averaged():
            self.weights.save(folder)

    def state_dict(self) -> dict[str, Any]:
        """Return all that the stage's updates have changed. The keys are those of stored checkpoints."""
        return {
            "unet": self.weights.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "average": self.average.shadow_params if self.average else [],
            "loss_scale": self.loss_scale.state_dict(),
        }

    def load_state_dict(self, state: Mapping[str, Any], updates: int) -> None:
        """Take up a stored state. Args: updates: those of the stage before it."""
        self.weights.load_state_dict(state["unet"])
        self.optimizer.load_state_dict(state["optimizer"])
        if self.average:
            self.average.load_state_dict({"updates": updates, "values": state["average"]})
        if "loss_scale" in state:  # stored since there is a choice of precision
            self.loss_scale.load_state_dict(state["loss_scale"])

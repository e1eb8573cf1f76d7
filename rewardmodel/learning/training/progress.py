"""What a run reports while it works, what it makes, and how it may end before that."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rewardmodel.learning.model.reward import Trainable
from rewardmodel.learning.reference import Reference
from rewardmodel.learning.training.inspection import Inspection


class TrainingDiverged(ArithmeticError):
    """A loss or a weight is no finite number any more; the message names step and rankings."""


@dataclass(frozen=True)
class Start:
    """What a run begins with, or resumes with."""

    trainable: Trainable
    images: Inspection


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

    @property
    def measures(self) -> dict[str, float | None]:
        """What there is a curve of, by name; None where this step did not measure it."""
        return {
            "loss": self.loss,
            "accuracy": self.accuracy,
            "validation_loss": self.validation_loss,
            "validation_accuracy": self.validation_accuracy,
            "learning_rate": self.learning_rate,
            "images_per_second": self.images_per_second,
        }


@dataclass(frozen=True)
class Validation:
    """The model on the validation split."""

    loss: float  # nats a pair
    accuracy: float  # share of pairs ordered right
    mean: float  # of its raw rewards, an image counting once for each ranking it is in
    std: float
    # Of each aspect's score, the same two.
    aspect_scales: dict[str, tuple[float, float]] = field(default_factory=dict)
    reference: Reference | None = None  # None in the state of a run from before it was kept

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Validation:
        """Read what `dataclasses.asdict` made of one."""
        reference = values.get("reference")
        return cls(**{**values, "reference": reference and Reference.from_dict(reference)})


@dataclass(frozen=True)
class TrainingResult:
    """What a run made: the checkpoint with the lowest validation loss."""

    checkpoint: Path
    step: int
    steps: int
    validation: Validation
    trainable: Trainable


@dataclass(frozen=True)
class Callbacks:
    """What a run calls while it works. Under torchrun, all but `should_stop` are called by the main process.

    Attributes:
        on_checked: while the images are checked, with how many of how many are.
        on_start: once, before the first step.
        on_step: after each step; again for those that a resumed run makes again.
        should_stop: whether to save and stop; asked after each step, and while the images are checked.
    """

    on_checked: Callable[[int, int], None] = lambda checked, images: None
    on_start: Callable[[Start], None] = lambda start: None
    on_step: Callable[[Progress], None] = lambda progress: None
    should_stop: Callable[[], bool] = lambda: False

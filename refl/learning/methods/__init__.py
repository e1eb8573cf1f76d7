"""How an update tunes a generator. Another method is a file here and a line in `config.METHODS`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import torch

    from refl.learning.pairs import Pair
    from refl.learning.rewards import Reward
    from refl.learning.tuner import Tuner


@dataclass(frozen=True)
class Batch:
    """The examples of one update."""

    prompts: Sequence[str]
    pairs: Sequence[Pair]


class Method(Protocol):
    """An update of the tuner's weights on a batch."""

    def __init__(self, tuner: Tuner, reward: Reward) -> None: ...

    def update(self, batch: Batch, rng: torch.Generator) -> dict[str, float | None]:
        """Step once or more on the batch.

        Args: rng: of all that is random in the update, so that a resumed run ends with equal numbers.
        Returns: what was measured, by name; None for what was left out.
        Raises: BadReward, BadPairs, Diverged.
        """

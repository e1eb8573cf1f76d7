"""How an update tunes a generator. Another method is a file here and a line in `config.METHODS`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from refl.learning.chance import Rng
    from refl.learning.pairs import Pair, Preference
    from refl.learning.rewards import Reward
    from refl.learning.tuner import Tuner


@dataclass(frozen=True)
class Materials:
    """What a run learns from. What a method does not need may be empty."""

    prompts: Sequence[str] = ()
    pairs: Sequence[Pair] = ()
    preferences: Sequence[Preference] = ()


@dataclass(frozen=True)
class Batch:
    """The examples of one update, of each kind as many as there are samples; of this process, its share."""

    prompts: Sequence[str] = ()
    pairs: Sequence[Pair] = ()
    preferences: Sequence[Preference] = ()


class Method(Protocol):
    """An update of the tuner's weights on a batch."""

    def __init__(self, tuner: Tuner, reward: Reward) -> None:
        """Made, as `prepare` is called, while the tuner has the weights that the stage starts from."""

    def prepare(self, materials: Materials, folder: Path) -> Materials:
        """Make what the updates need, before the first of them, and choose what they learn from.

        Called in every process at the start of a stage, and again where a run is resumed: always with the
        weights that the stage starts from. What is costly belongs in `folder`, written whole by the main
        process, to be read when it is there.

        Args:
            materials: what the run was given, or what the stage before chose.
            folder: the stage's own; it exists.
        Returns: what this stage learns from, and the next.
        """
        return materials

    def update(self, batch: Batch, rng: Rng) -> dict[str, float | None]:
        """Step once or more on the batch.

        Args: rng: a generator for each sample, of all that is random in the update.
        Returns: what was measured over the batch of all processes, by name; None for what was left out.
        Raises: BadReward, BadPairs, Diverged.
        """

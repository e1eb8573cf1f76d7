"""What a selection of prompts is asked for; stored with its result."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class SelectionConfig:
    """How prompts are chosen. Defaults are the paper's (section 2.1 of ImageReward) unless they say `ours`.

    Attributes:
        count: prompts to choose in all, the same share from each set; None chooses `per_set` from each.
        per_set: prompts chosen from a set where no `count` is given.
        set_size: about so many prompts a set; the cost of a set grows with its square.
        neighbours: for so many prompts most like it each prompt votes.
        discount: a vote counts 1 / discount for each prompt chosen already that its voter voted for.
        near_duplicates: share of the pairs of adjacent words in either of two prompts that both have, from
            which on the later prompt is dropped; above 1 drops none. Ours: the paper names no rule.
        seed: of the shuffle into sets.
    """

    count: int | None = None
    per_set: int = 100
    set_size: int = 20_000
    neighbours: int = 150
    discount: float = 10.0
    near_duplicates: float = 0.9
    seed: int = 0

    def __post_init__(self) -> None:
        """Raises: ValueError naming the field that cannot be."""
        for name in ("count", "per_set", "set_size", "neighbours"):
            value = getattr(self, name)
            if not (name == "count" and value is None) and value < 1:
                raise ValueError(f"{name} is 1 or more, not {value}")
        if self.seed < 0:
            raise ValueError(f"seed is 0 or more, not {self.seed}")
        if not (math.isfinite(self.discount) and self.discount > 1):
            raise ValueError(f"discount is above 1, not {self.discount}")
        if self.neighbours * math.log10(self.discount) > 300:
            raise ValueError(
                f"{self.neighbours} neighbours with discount {self.discount:g} make votes too small to add up"
            )
        if not 0 < self.near_duplicates <= 2:
            raise ValueError(f"near_duplicates is above 0 and at most 2, not {self.near_duplicates}")

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    def wanted(self, sets: int) -> list[int]:
        """How many prompts to choose from each of so many sets; the first ones take what does not divide."""
        if self.count is None:
            return [self.per_set] * sets
        share, rest = divmod(self.count, sets)
        return [share + (number < rest) for number in range(sets)]

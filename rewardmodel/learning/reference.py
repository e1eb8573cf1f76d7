"""What a reward is read against: the rewards that a model gave the images it was validated on.

A reward has no unit. Its percentile among those images, and how probably people prefer the image to another
by its reward, can be read by anybody. No torch here: pages compute both.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

LEVELS = 101  # quantiles kept, 0 to 100 %
COLDEST, HOTTEST = 1e-3, 1e3  # temperatures that are looked at
HALVINGS = 60

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Standing:
    """Where a reward stands.

    Attributes:
        percentile: 0 to 100, the share of the reference images with a lower reward.
        preferred: 0 to 1, the probability that people prefer the image to the one that it is compared with.
    """

    percentile: float
    preferred: float


@dataclass(frozen=True)
class Reference:
    """The rewards of a model's validation images, as normalised as all its rewards.

    Attributes:
        quantiles: LEVELS rewards, rising: of 0 %, 1 %, ... 100 % of the images.
        images: how many there were; one in several rankings counts for each.
        temperature: of a difference of rewards, at which the pair loss of the validation pairs is lowest,
            with one typical pair more that is ordered wrong: no small split makes a model certain.
    """

    quantiles: tuple[float, ...]
    images: int
    temperature: float

    @classmethod
    def of(cls, rewards: Floats, margins: Floats) -> Reference:
        """Args: rewards: (N,); margins: (M,) of the pairs, the preferred image's reward less the other's.

        Raises: ValueError without an image or a pair.
        """
        quantiles = np.quantile(rewards, np.linspace(0, 1, LEVELS))
        wrong = -np.sqrt((margins**2).mean())
        temperature = lowest_loss_temperature(np.append(margins, wrong))
        return cls(tuple(map(float, quantiles)), len(rewards), temperature)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Reference:
        """Read what `dataclasses.asdict` wrote. Raises: TypeError, KeyError, ValueError on anything else."""
        quantiles = tuple(float(value) for value in values["quantiles"])
        if len(quantiles) != LEVELS or not all(np.isfinite(quantiles)) or not values["temperature"] > 0:
            raise ValueError(f"a reference has {LEVELS} finite quantiles and a temperature above 0")
        return cls(quantiles, int(values["images"]), float(values["temperature"]))

    @property
    def median(self) -> float:
        return self.quantiles[LEVELS // 2]

    def percentile(self, reward: float) -> float:
        """Return the share of the images with a lower reward, in percent; between two quantiles linear."""
        return float(np.interp(reward, self.quantiles, np.linspace(0, 100, LEVELS)))

    def preferred(self, reward: float, *, over: float | None = None) -> float:
        """Return the probability that people prefer an image of that reward to another image.

        Args: over: the other's reward; None is the median of the reference images.
        Source: the pair loss, arXiv 2304.05977, whose sigmoid of the difference is that probability, at the
            temperature of Guo et al., arXiv 1706.04599.
        """
        margin = (reward - (self.median if over is None else over)) / self.temperature
        return float(np.exp(-np.logaddexp(0, -margin)))  # the sigmoid, without overflow

    def standing(self, reward: float, *, over: float | None = None) -> Standing:
        return Standing(self.percentile(reward), self.preferred(reward, over=over))


def standings(
    reference: Reference | None, rewards: Sequence[float | None], *, over: float | None = None
) -> list[Standing | None]:
    """Return where each reward stands; None where there is none, or nothing to read it against.

    Args: over: as `Reference.preferred` has it.
    """
    return [
        None if reference is None or reward is None else reference.standing(reward, over=over)
        for reward in rewards
    ]


def lowest_loss_temperature(margins: Floats) -> float:
    """The temperature at which the pair loss of these margins is lowest, from 0.001 to 1,000.

    The loss is convex in 1 / temperature, so its slope is halved in on. A model that is always right is best
    at 0.001, one that is wrong more than right at 1,000.

    Args: margins: (N,), the preferred image's reward less the other's.
    Raises: ValueError without a pair.
    Source: temperature scaling; Guo et al., arXiv 1706.04599, section 4.2.
    """
    if not len(margins):
        raise ValueError("no pair to fit a temperature to")
    low, high = np.log(1 / HOTTEST), np.log(1 / COLDEST)
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        sharpness = np.exp(middle)
        # Of the loss, by sharpness: -margin * sigmoid(-sharpness * margin), written without overflow.
        slope = (-margins * np.exp(-np.logaddexp(0, sharpness * margins))).mean()
        low, high = (middle, high) if slope <= 0 else (low, middle)
    return float(1 / np.exp((low + high) / 2))

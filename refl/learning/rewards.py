"""What images are scored by: any function of prompts and images, or a weighted mixture of several."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor

from refl.learning.config import GRADIENT_METHODS, TuningConfig
from rewardmodel.learning.errors import PermanentError

# (prompts, images (B, 3, H, W) in 0..1) -> (B,) on the images' device, normalised, higher is better. It is
# taken to be differentiable unless it has an attribute `differentiable` that is false.
Reward = Callable[[list[str], Tensor], Tensor]


class BadReward(PermanentError):
    """The reward gives what no generator can be tuned with; the message says which of a mixture it was."""


def is_differentiable(reward: Reward) -> bool:
    """Whether the reward says that gradients reach the images through it."""
    return bool(getattr(reward, "differentiable", True))


def score(reward: Reward, prompts: list[str], images: Tensor, *, name: str = "the reward") -> Tensor:
    """Return the rewards of images (B, 3, H, W) in 0..1, with gradient where gradients are recorded. (B,)

    Args: name: what to call the reward where it is refused.
    Raises: BadReward.
    """
    try:
        rewards = reward(prompts, images)
    except (BadReward, MemoryError, torch.OutOfMemoryError):
        raise
    except Exception as error:  # somebody else's code: whatever it raises, say which reward it was
        reason = (str(error).splitlines() or [""])[0]
        raise BadReward(f"{name} raised {type(error).__name__}: {reason}") from error
    if not isinstance(rewards, Tensor):
        raise BadReward(f"{name} gave {type(rewards).__name__}, not a tensor")
    if rewards.shape != (len(images),):
        raise BadReward(f"{name} gave {len(images)} images a tensor of shape {tuple(rewards.shape)}")
    if rewards.device != images.device:
        raise BadReward(f"{name} is on {rewards.device}, the images on {images.device}")
    if not rewards.isfinite().all():
        raise BadReward(f"{name} is not finite: {rewards.tolist()}")
    if torch.is_grad_enabled() and not rewards.requires_grad:
        raise BadReward(f"{name} has no gradient with respect to the images")
    return rewards


@dataclass(frozen=True)
class Part:
    """One reward of a mixture.

    Attributes:
        name: what its curve and its errors are called.
        weight: how many units of the mixture one deviation of it counts.
        mean, std: of its scores over the pictures that it is normalised on.
    """

    name: str
    reward: Reward
    weight: float
    mean: float = 0.0
    std: float = 1.0

    def __call__(self, prompts: list[str], images: Tensor) -> Tensor:
        """Return the normalised score, not weighted. (B,) Raises: BadReward."""
        rewards = score(self.reward, prompts, images, name=f"the reward {self.name!r}")
        return (rewards - self.mean) / self.std


class Mixture:
    """The sum of weight x (score - mean) / std over its parts."""

    def __init__(self, parts: Sequence[Part]) -> None:
        self.parts = tuple(parts)
        self._measured: dict[str, list[Tensor]] | None = None

    @property
    def differentiable(self) -> bool:
        """Whether all of its parts are."""
        return all(is_differentiable(part.reward) for part in self.parts)

    def __call__(self, prompts: list[str], images: Tensor) -> Tensor:
        """(B,). Raises: BadReward naming the part."""
        total = images.new_zeros(len(images))
        for part in self.parts:
            rewards = part(prompts, images)
            if self._measured is not None:
                self._measured.setdefault(part.name, []).append(rewards.detach())
            total = total + part.weight * rewards
        return total

    @contextmanager
    def measured(self) -> Iterator[dict[str, float]]:
        """Yield a dict that in the end has the mean of each part over all images scored within."""
        means: dict[str, float] = {}
        scores: dict[str, list[Tensor]] = {}
        self._measured = scores
        try:
            yield means
        finally:
            self._measured = None
        means |= {name: torch.cat(rewards).double().mean().item() for name, rewards in scores.items()}


@contextmanager
def measured_parts(reward: Reward) -> Iterator[dict[str, float]]:
    """Yield a dict that in the end has the mean of each part of a mixture, as `reward/<its name>`.

    Of the images scored within; normalised, not weighted. It stays empty for a reward that is no mixture.
    """
    curves: dict[str, float] = {}
    if isinstance(reward, Mixture):
        with reward.measured() as means:
            yield curves
        curves |= {f"reward/{name}": mean for name, mean in means.items()}
    else:
        yield curves


def check_differentiable(reward: Reward, config: TuningConfig) -> None:
    """Refuse a reward without a gradient for a method that follows it. Raises: BadReward naming the part."""
    if config.method not in GRADIENT_METHODS or not config.reward_weight or is_differentiable(reward):
        return
    parts = reward.parts if isinstance(reward, Mixture) else ()
    names = [repr(part.name) for part in parts if not is_differentiable(part.reward)]
    which = f"the reward {', '.join(names)}" if names else "the reward"
    raise BadReward(f"{which} is not differentiable, and the method {config.method} follows its gradient")


def mean_and_deviation(
    reward: Reward, prompts: Sequence[str], images: Tensor, *, name: str, batch_size: int = 16
) -> tuple[float, float]:
    """Return the mean and the deviation of a reward over images (B, 3, H, W) in 0..1, to normalise it by.

    Raises: BadReward, also where all images are given the same.
    """
    with torch.no_grad():
        scores = [
            score(reward, list(prompts[at : at + batch_size]), images[at : at + batch_size], name=name)
            for at in range(0, len(images), batch_size)
        ]
    rewards = torch.cat(scores).double()
    std = rewards.std(correction=0).item()
    if not std:
        raise BadReward(f"{name} gives all of {len(images)} images the same: it cannot be normalised")
    return rewards.mean().item(), std

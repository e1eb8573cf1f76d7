"""What images are scored by: any function of prompts and images, or a weighted mixture of several."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from refl.learning.config import METHODS, TuningConfig
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
        scale: mean and deviation of its scores over the pictures that it is normalised on; None where nobody
            knows them yet, and a run measures them on its pre-training pictures.
    """

    name: str
    reward: Reward
    weight: float
    scale: tuple[float, float] | None = (0.0, 1.0)

    def __call__(self, prompts: list[str], images: Tensor) -> Tensor:
        """Return the normalised score, not weighted. (B,) Raises: BadReward."""
        assert self.scale is not None
        mean, std = self.scale
        return (score(self.reward, prompts, images, name=self.title) - mean) / std

    @property
    def title(self) -> str:
        """What it is called where it is refused."""
        return f"the reward {self.name!r}"


class Mixture:
    """The sum of weight x (score - mean) / deviation over its parts."""

    def __init__(self, parts: Sequence[Part]) -> None:
        self.parts = tuple(parts)
        self._measured: dict[str, list[Tensor]] | None = None

    @property
    def identity(self) -> str:
        """What tells it from another mixture."""
        return " + ".join(f"{part.weight} {part.name}" for part in self.parts)

    @property
    def unscaled(self) -> list[Part]:
        """The parts that cannot be weighed yet: nobody knows their scale."""
        return [part for part in self.parts if part.scale is None]

    def scaled(self, scales: Mapping[str, tuple[float, float]]) -> Mixture:
        """Return the mixture with these scales of parts, by name; the other parts keep theirs."""
        return Mixture([replace(part, scale=scales.get(part.name, part.scale)) for part in self.parts])

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

    Of the images scored within; normalised, not weighted. It stays empty where there are not two parts.
    """
    curves: dict[str, float] = {}
    if isinstance(reward, Mixture) and len(reward.parts) > 1:
        with reward.measured() as means:
            yield curves
        curves |= {f"reward/{name}": mean for name, mean in means.items()}
    else:
        yield curves


def check_differentiable(reward: Reward, config: TuningConfig) -> None:
    """Refuse a reward without a gradient for a method that follows it. Raises: BadReward naming the part."""
    follows_gradient = METHODS[config.method].follows_gradient and config.reward_weight
    if not follows_gradient or is_differentiable(reward):
        return
    parts = reward.parts if isinstance(reward, Mixture) else ()
    names = [repr(part.name) for part in parts if not is_differentiable(part.reward)]
    which = f"the reward {', '.join(names)}" if names else "the reward"
    raise BadReward(f"{which} is not differentiable, and the method {config.method} follows its gradient")


def mean_and_deviation(
    reward: Reward, batches: Iterable[tuple[list[str], Tensor]], *, name: str
) -> tuple[float, float]:
    """Return the mean and the deviation of a reward over pictures, to normalise it by.

    Args: batches: prompts, and as many images (B, 3, H, W) in 0..1.
    Raises: BadReward, also where all pictures are given the same.
    """
    with torch.no_grad():
        rewards = torch.cat([score(reward, prompts, images, name=name) for prompts, images in batches])
    std = rewards.double().std(correction=0).item()
    if not std:
        raise BadReward(f"{name} gives all of {len(rewards)} pictures the same: it cannot be normalised")
    return rewards.double().mean().item(), std

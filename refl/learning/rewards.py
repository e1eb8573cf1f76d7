"""What images are scored by: any differentiable function of prompts and images."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

# (prompts, images (B, 3, H, W) in 0..1) -> (B,), differentiable, normalised, higher is better.
Reward = Callable[[list[str], Tensor], Tensor]


class BadReward(ValueError):
    """The reward gives what no generator can be tuned with: not one finite number with gradient an image."""


def score(reward: Reward, prompts: list[str], images: Tensor) -> Tensor:
    """Return the rewards of images (B, 3, H, W) in 0..1, with gradient. (B,)

    Raises: BadReward.
    """
    rewards = reward(prompts, images)
    if rewards.shape != (len(images),):
        raise BadReward(f"{len(images)} images were given a reward of shape {tuple(rewards.shape)}")
    if not rewards.isfinite().all():
        raise BadReward(f"the reward is not finite: {rewards.tolist()}")
    if not rewards.requires_grad:
        raise BadReward("the reward has no gradient with respect to the images")
    return rewards

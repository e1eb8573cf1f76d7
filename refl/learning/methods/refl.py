"""ReFL: ImageReward, arXiv 2304.05977, Algorithm 1. A step on pre-training pairs, then one on the reward.

Letters: B samples of an update, C latent channels, h w latent pixels, T tokens, D width.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from refl.learning.chance import Rng, randn
from refl.learning.denoising import Rollout, draw_exit_steps
from refl.learning.methods import Batch, Method
from refl.learning.methods.steps import pretraining_step, reward_step
from refl.learning.rewards import Reward
from refl.learning.tuner import Tuner


class ReFL(Method):
    """Both updates of Algorithm 1, one after the other, each on its own batch and with its own step."""

    def __init__(self, tuner: Tuner, reward: Reward) -> None:
        config, family = tuner.config, tuner.family
        self.tuner, self.reward = tuner, reward
        scheduler = family.scheduler(config.sampler, config.steps)
        self.rollout = Rollout(family, scheduler, config.guidance_scale)

    def update(self, batch: Batch, rng: Rng) -> dict[str, float | None]:
        """Step on the pre-training loss, then on the reward loss.

        One of weight 0 is left out: without a gradient Adam would still move by its momentum.

        Returns: the mean reward before its step, the losses not yet weighted, and the norms of the gradients
            of the weighted losses before clipping.
        Raises: BadPairs; BadReward; Diverged.
        """
        loss = gradient = mean = loss_of_reward = gradient_of_reward = None
        if self.tuner.config.pretraining_weight:
            loss, gradient = pretraining_step(self.tuner, batch.pairs, rng)
        if self.tuner.config.reward_weight:
            mean, loss_of_reward, gradient_of_reward = self.reward_step(batch.prompts, rng)
        return {
            "reward": mean,
            "reward_loss": loss_of_reward,
            "pretraining_loss": loss,
            "reward_gradient": gradient_of_reward,
            "pretraining_gradient": gradient,
        }

    def reward_step(self, prompts: Sequence[str], rng: Rng) -> tuple[float, float, float | None]:
        """Denoise to a random late step, predict x_0 from there, and raise its reward.

        Returns: as `steps.reward_step`.
        Raises: BadReward; Diverged.
        """
        config, family = self.tuner.config, self.tuner.family

        def clean_latents(part: slice) -> Tensor:
            text = self.tuner.encode_prompts(prompts[part])  # (B, T, D)
            exit_steps = draw_exit_steps(rng[part], steps=config.steps, late_steps=config.late_steps)  # (B,)
            noise = randn(family.latent_shape, rng[part]).to(family.device)  # (B, C, h, w)
            late = self.rollout.denoise_to(exit_steps, noise, text, rng[part])
            return self.rollout.predict_x0(exit_steps, late, text)

        return reward_step(self.tuner, self.reward, prompts, clean_latents)

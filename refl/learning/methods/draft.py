"""DRaFT: Clark et al., arXiv 2309.17400. The reward's gradient runs through the sampling chain itself.

ReFL moves what one late step decides. The chain also decides size, place, number and background.

Letters: B samples of an update, C latent channels, h w latent pixels, T tokens, D width.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from refl.learning.families import Conditioning
from refl.learning.methods.refl import ReFL
from refl.learning.methods.steps import reward_step


class DRaFT(ReFL):
    """ReFL's two steps; the reward is that of finished images, with gradient through their last K steps."""

    def reward_step(self, prompts: Sequence[str], rng: torch.Generator) -> tuple[float, float, float]:
        """Sample to the end, and raise the reward.

        Returns: the mean reward, the loss, and the norm of the gradient of the weighted loss before clipping.
        Raises: BadReward; Diverged.
        """
        b, config, family = len(prompts), self.tuner.config, self.tuner.family
        count = config.gradient_steps or config.steps
        if config.random_gradient_steps:
            count = int(torch.randint(1, count + 1, (), generator=rng))
        text = family.encode_prompts(list(prompts))  # (B, T, D)
        noise = torch.randn((b, *family.latent_shape), generator=rng).to(family.device)  # (B, C, h, w)

        def clean_latents(part: slice) -> Tensor:
            return self.sample(noise[part], text[part], rng, gradient_steps=count)

        return reward_step(self.tuner, self.reward, prompts, clean_latents)

    def sample(
        self, latents: Tensor, text: Conditioning, rng: torch.Generator, *, gradient_steps: int
    ) -> Tensor:
        """Denoise noise (B, C, h, w) to clean latents, the last `gradient_steps` of the steps with gradient.

        The backward pass calls the denoiser again, one step at a time, so that memory holds the activations
        of one step however many there are.

        Source: DRaFT, arXiv 2309.17400, Algorithm 1 (DRaFT-K); with a random K, AlignProp, arXiv 2310.03739.
        """
        timesteps = self.rollout.scheduler.timesteps
        for index, timestep in enumerate(timesteps):
            with torch.set_grad_enabled(index >= len(timesteps) - gradient_steps):
                output = checkpoint(
                    self.tuner.family.predict,
                    latents,
                    timestep,
                    text,
                    self.rollout.guidance_scale,
                    use_reentrant=False,
                    preserve_rng_state=False,  # the denoiser draws nothing
                )
                latents = self.rollout.scheduler.step(output, timestep, latents, generator=rng).prev_sample
        return latents

"""DRaFT: Clark et al., arXiv 2309.17400. The reward's gradient runs through the sampling chain itself.

ReFL moves what one late step decides. The chain also decides size, place, number and background.

Letters: B samples of an update, C latent channels, h w latent pixels, T tokens, D width.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from refl.learning.chance import Rng, randint, randn
from refl.learning.families.conditioning import TextConditioning
from refl.learning.methods.refl import ReFL
from refl.learning.methods.steps import reward_step


class DRaFT(ReFL):
    """ReFL's two steps; the reward is that of finished images, with gradient through their last K steps."""

    def reward_step(self, prompts: Sequence[str], rng: Rng) -> tuple[float, float, float | None]:
        """Sample to the end, and raise the reward.

        Returns: as `steps.reward_step`.
        Raises: BadReward; Diverged.
        """
        config, family = self.tuner.config, self.tuner.family
        most = config.gradient_steps or config.steps

        def clean_latents(part: slice) -> Tensor:
            text = self.tuner.encode_prompts(prompts[part])  # (B, T, D)
            noise = randn(family.latent_shape, rng[part]).to(family.device)  # (B, C, h, w)
            counts = randint(1 if config.random_gradient_steps else most, most + 1, rng[part])  # (B,)
            return self.sample(noise, text, rng[part], gradient_steps=counts)

        return reward_step(self.tuner, self.reward, prompts, clean_latents)

    def sample(self, latents: Tensor, text: TextConditioning, rng: Rng, *, gradient_steps: Tensor) -> Tensor:
        """Denoise (B, C, h, w) to clean latents, each sample's last `gradient_steps` (B,) with gradient.

        The backward pass calls the denoiser again, one step at a time, so that memory holds the activations
        of one step however many there are.

        Source: DRaFT, arXiv 2309.17400, Algorithm 1 (DRaFT-K); with a random K, AlignProp, arXiv 2310.03739.
        """
        timesteps = self.rollout.scheduler.timesteps
        first = (len(timesteps) - gradient_steps).to(latents.device).view(-1, 1, 1, 1)  # (B, 1, 1, 1)
        for index, timestep in enumerate(timesteps):
            with torch.set_grad_enabled(index >= int(first.min())):
                latents = torch.where(index <= first, latents.detach(), latents)
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

"""DiffusionNFT: Zheng et al., arXiv 2509.16117. It learns from its good samples and its bad ones.

Only clean samples and their rewards are needed: no gradient of the reward, no sampling trajectory.

Letters: b prompts of a microbatch, K samples of a prompt, C latent channels, h w latent pixels, T tokens,
D width.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

import torch
from torch import Tensor

from refl.learning.chance import Rng, randn
from refl.learning.config import NEEDS
from refl.learning.denoising import Rollout
from refl.learning.losses import implicit_policy_losses, optimality
from refl.learning.methods import Batch, Method
from refl.learning.rewards import Reward, score
from refl.learning.tuner import Tuner


class DiffusionNFT(Method):
    """The averaged weights are the old policy: they make the samples that the trained ones learn from.

    Of each prompt `candidates` samples are made and scored. What scores above the prompt's mean pulls the
    denoiser, what scores below pushes it.
    """

    needs: ClassVar[frozenset[str]] = NEEDS["nft"]

    def __init__(self, tuner: Tuner, reward: Reward) -> None:
        config, family = tuner.config, tuner.family
        self.tuner, self.reward = tuner, reward
        self.rollout = Rollout(family, family.scheduler(config.sampler, config.steps), config.guidance_scale)

    def update(self, batch: Batch, rng: Rng) -> dict[str, float | None]:
        """Sample with the old policy, score, and step on the loss of both implicit policies.

        Returns: the mean reward of the samples, the loss, and the norm of its gradient before clipping.
        Raises: BadReward; Diverged.
        """
        tuner, prompts = self.tuner, batch.prompts
        with tuner.process_group.error_barrier():
            sampled = [self.sample(prompts[part], rng[part]) for part in tuner.microbatches(len(prompts))]
        latents, rewards = (torch.cat(each) for each in zip(*sampled, strict=True))  # (B, K, C, h, w), (B, K)
        centred = rewards - rewards.mean(1, keepdim=True)
        squares, count = tuner.process_group.sum(centred.square().sum().item(), centred.numel())
        shares = optimality(centred, (squares / count) ** 0.5)  # (B, K)

        def measure(part: slice) -> Mapping[str, Tensor]:
            losses = self.losses(prompts[part], latents[part], shares[part], rng[part])
            return {"reward": rewards[part].mean(1), "loss": losses}

        means = tuner.accumulate(len(prompts), measure)
        return {"reward": means["reward"], "policy_loss": means["loss"], "policy_gradient": tuner.step()}

    @torch.no_grad()
    def sample(self, prompts: Sequence[str], rng: Rng) -> tuple[Tensor, Tensor]:
        """Return each prompt's samples, clean latents (b, K, C, h, w), and their rewards (b, K)."""
        config, family = self.tuner.config, self.tuner.family
        b, k = len(prompts), config.candidates
        repeated = [prompt for prompt in prompts for _ in range(k)]
        chances = [generator for generator in rng for _ in range(k)]
        noise = randn(family.latent_shape, chances).to(family.device)  # (b*K, C, h, w)
        ends = torch.full((b * k,), config.steps, device=family.device)
        with self.tuner.averaged():
            latents = self.rollout.denoise_to(ends, noise, self.tuner.encode_prompts(repeated), chances)
        rewards = score(self.reward, repeated, family.decode(latents))  # (b*K,)
        return latents.view(b, k, *family.latent_shape), rewards.view(b, k)

    def losses(self, prompts: Sequence[str], latents: Tensor, shares: Tensor, rng: Rng) -> Tensor:
        """Noise clean samples anew, and return each prompt's loss of both implicit policies. (b,)

        Args: latents (b, K, C, h, w); shares (b, K), see `optimality`.
        """
        family, k = self.tuner.family, latents.shape[1]
        chances = [generator for generator in rng for _ in range(k)]
        clean = latents.flatten(0, 1)  # (b*K, C, h, w)
        text = self.tuner.encode_prompts([prompt for prompt in prompts for _ in range(k)])  # (b*K, T, D)
        noise, timesteps = randn(clean.shape[1:], chances).to(clean), family.random_timesteps(chances)
        noisy = family.add_noise(clean, noise, timesteps)  # (b*K, C, h, w)
        with self.tuner.averaged(), torch.no_grad():
            old = family.predict(noisy, timesteps, text)  # (b*K, C, h, w)
        new = family.predict(noisy, timesteps, text)  # (b*K, C, h, w)
        target = family.training_target(clean, noise, timesteps)
        losses = implicit_policy_losses(new, old, target, shares.flatten(), self.tuner.config.nft_beta)
        return losses.view(-1, k).mean(1)

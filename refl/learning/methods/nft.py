"""DiffusionNFT: Zheng et al., arXiv 2509.16117. It learns from its good samples and its bad ones.

Only clean samples and their rewards are needed: no gradient of the reward, no sampling trajectory.

Letters: B prompts of an update, K samples of a prompt, b samples of a microbatch, C latent channels, h w
latent pixels, T tokens, D width.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from refl.learning.chance import Rng, randn, split
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

    def __init__(self, tuner: Tuner, reward: Reward) -> None:
        config, family = tuner.config, tuner.family
        self.tuner, self.reward = tuner, reward
        self.rollout = Rollout(family, family.scheduler(config.sampler, config.steps), config.guidance_scale)

    def update(self, batch: Batch, rng: Rng) -> dict[str, float | None]:
        """Sample with the old policy, score, and step on the loss of both implicit policies.

        Returns: the mean reward of the samples, the loss, and the norm of its gradient before clipping.
        Raises: BadReward; Diverged.
        """
        tuner, k = self.tuner, self.tuner.config.candidates
        prompts = [prompt for prompt in batch.prompts for _ in range(k)]
        chances = split(rng, k)
        with tuner.process_group.error_barrier():
            latents, scores = self.sample_in_parts(prompts, chances)  # (B*K, C, h, w), (B*K,)
        rewards = scores.view(-1, k)  # (B, K)
        centred = rewards - rewards.mean(1, keepdim=True)
        squares, count = tuner.process_group.sum(centred.square().sum().item(), centred.numel())
        shares = optimality(centred, (squares / count) ** 0.5).flatten()  # (B*K,)

        def measure(part: slice) -> Mapping[str, Tensor]:
            losses = self.losses(prompts[part], latents[part], shares[part], chances[part])
            return {"reward": scores[part], "loss": losses}

        means = tuner.accumulate(len(prompts), measure)
        return {"reward": means["reward"], "policy_loss": means["loss"], "policy_gradient": tuner.step()}

    def sample_in_parts(self, prompts: Sequence[str], rng: Rng) -> tuple[Tensor, Tensor]:
        """Return what `sample` does, of any number of prompts; a process may have no share of a batch."""
        none = torch.zeros(0, *self.tuner.family.latent_shape), torch.zeros(0)
        parts = self.tuner.microbatches(len(prompts))
        sampled = [self.sample(prompts[part], rng[part]) for part in parts] or [none]
        latents, rewards = zip(*sampled, strict=True)
        return torch.cat(latents), torch.cat(rewards)

    @torch.no_grad()
    def sample(self, prompts: Sequence[str], rng: Rng) -> tuple[Tensor, Tensor]:
        """Return a sample of each prompt, clean latents (b, C, h, w), and their rewards (b,)."""
        family = self.tuner.family
        noise = randn(family.latent_shape, rng).to(family.device)  # (b, C, h, w)
        ends = torch.full((len(prompts),), self.tuner.config.steps)  # (b,)
        with self.tuner.averaged():
            latents = self.rollout.denoise_to(ends, noise, self.tuner.encode_prompts(prompts), rng)
        return latents, score(self.reward, list(prompts), family.decode(latents))

    def losses(self, prompts: Sequence[str], latents: Tensor, shares: Tensor, rng: Rng) -> Tensor:
        """Noise clean samples anew, and return each one's loss of both implicit policies. (b,)

        Args: latents (b, C, h, w); shares (b,), see `optimality`.
        """
        family = self.tuner.family
        text = self.tuner.encode_prompts(prompts)  # (b, T, D)
        noise, timesteps = randn(latents.shape[1:], rng).to(latents), family.random_timesteps(rng)
        noisy = family.add_noise(latents, noise, timesteps)  # (b, C, h, w)
        with self.tuner.averaged(), torch.no_grad():
            old = family.predict(noisy, timesteps, text)  # (b, C, h, w)
        new = family.predict(noisy, timesteps, text)  # (b, C, h, w)
        target = family.training_target(latents, noise, timesteps)
        return implicit_policy_losses(new, old, target, shares, self.tuner.config.nft_beta)

"""Denoising from noise to a late step without gradient, and one step with it.

Letters: B samples, C latent channels, h w latent pixels.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from refl.learning.chance import Rng, randint
from refl.learning.families import Family
from refl.learning.families.conditioning import TextConditioning


@dataclass(frozen=True)
class Rollout:
    """A pipeline that denoises on a schedule of few steps.

    Attributes:
        scheduler: the family's, its inference steps set.
        guidance_scale: 1 is none.
    """

    family: Family
    scheduler: Any
    guidance_scale: float = 1.0

    @torch.no_grad()
    def denoise_to(self, exit_steps: Tensor, latents: Tensor, text: TextConditioning, rng: Rng) -> Tensor:
        """Denoise all samples together, each up to its own exit step.

        The result is that of one rollout a sample; the denoiser is called max(exit_steps) times in all.

        Args:
            exit_steps: (B,) int, on the CPU, how many of the scheduler's steps each sample takes.
            latents: (B, C, h, w), noise.
            text: the encoded prompts, B of them.
            rng: of the noise that DDPM adds.
        Returns: (B, C, h, w), each sample at its exit step.
        """
        latents = latents.clone()
        for index in range(int(exit_steps.max())):
            rows = (exit_steps > index).nonzero().flatten()  # the samples that have not left yet
            own = [rng[row] for row in rows.tolist()]
            latents[rows] = self.step(index, latents[rows], text[rows], own)
        return latents

    def step(self, index: int, latents: Tensor, text: TextConditioning, rng: Rng) -> Tensor:
        """Take the scheduler's step `index`, with gradient if that is on. (B, C, h, w)"""
        timestep = self.scheduler.timesteps[index]
        output = self.family.predict(latents, timestep, text, self.guidance_scale)
        return self.scheduler.step(output, timestep, latents, generator=rng).prev_sample

    def predict_x0(self, exit_steps: Tensor, latents: Tensor, text: TextConditioning) -> Tensor:
        """Predict the clean latents in one step from each sample's exit step, with gradient. (B, C, h, w)"""
        timesteps = self.scheduler.timesteps[exit_steps].to(latents.device)  # (B,)
        output = self.family.predict(latents, timesteps, text, self.guidance_scale)
        return self.family.predict_x0(latents, output, timesteps)


def draw_exit_steps(rng: Rng, *, steps: int, late_steps: tuple[int, int]) -> Tensor:
    """Draw a late step for each sample, as an index from the start. (B,) int, on the CPU

    Args: late_steps: counted from the end, 1 the last: (1, 10) of 40 steps are the indices 30 to 39.
    Source: ImageReward, arXiv 2304.05977, Algorithm 1: t <- randint(T1, T2).
    """
    first, last = late_steps
    return steps - randint(first, last + 1, rng)

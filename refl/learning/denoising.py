"""Denoising as ReFL needs it: to a late step without gradient, one step with it, and a picture from there.

Letters: B samples, C latent channels, h w latent pixels, H W image pixels, T tokens, D their width.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor


@dataclass(frozen=True)
class Denoiser:
    """A UNet with its noise schedule, and the guidance it is asked with.

    Attributes:
        unet: a UNet2DConditionModel.
        scheduler: a DDPM or DDIM scheduler whose inference steps are set.
        empty: (1, T, D), the encoding of the empty prompt; unused at guidance scale 1.
        guidance_scale: 1 is none.
    """

    unet: Any
    scheduler: Any
    empty: Tensor
    guidance_scale: float = 1.0

    def output(self, latents: Tensor, timesteps: Tensor, text: Tensor) -> Tensor:
        """The UNet's answer (noise or velocity), guided; always one call of the UNet.

        Args: latents (B, C, h, w); timesteps () or (B,); text (B, T, D).
        Source: Ho and Salimans, arXiv 2207.12598, eq. 6, in Stable Diffusion's form u + scale (c - u).
        """
        if self.guidance_scale == 1:
            return self.unet(latents, timesteps, text).sample
        b = len(latents)
        asked = torch.cat([self.empty.expand_as(text), text])  # (2B, T, D)
        twice = timesteps.to(latents.device).expand(b).repeat(2)  # (2B,); the UNet moves a single step only
        both = self.unet(latents.repeat(2, 1, 1, 1), twice, asked).sample
        without, with_prompt = both.chunk(2)  # (2B, C, h, w) -> twice (B, C, h, w)
        return without + self.guidance_scale * (with_prompt - without)

    @torch.no_grad()
    def until(self, leave: Tensor, latents: Tensor, text: Tensor, generator: torch.Generator) -> Tensor:
        """Denoise all samples together, each up to the step at which it leaves.

        The gradient is that of one rollout a sample; the UNet is called max(leave) times in all.

        Args:
            leave: (B,) int, how many of the scheduler's steps each sample takes.
            latents: (B, C, h, w), noise.
            text: (B, T, D).
            generator: of the noise that DDPM adds.
        Returns: (B, C, h, w), each sample as its step `leave` finds it.
        """
        latents = latents.clone()
        for index in range(int(leave.max())):
            staying = (leave > index).nonzero().flatten()
            timestep = self.scheduler.timesteps[index]
            output = self.output(latents[staying], timestep, text[staying])
            moved = self.scheduler.step(output, timestep, latents[staying], generator=generator)
            latents[staying] = moved.prev_sample
        return latents

    def original(self, leave: Tensor, latents: Tensor, text: Tensor) -> Tensor:
        """The clean latents that one step from there predicts, with gradient. (B, C, h, w)"""
        timesteps = self.scheduler.timesteps.to(latents.device)[leave]  # (B,)
        output = self.output(latents, timesteps, text)
        return predict_original(latents, output, self.alpha_bar(timesteps), self.prediction_type)

    def alpha_bar(self, timesteps: Tensor) -> Tensor:
        """The share of signal at each timestep. (B,) int -> (B,), in 0..1."""
        return self.scheduler.alphas_cumprod.to(timesteps.device)[timesteps]

    @property
    def prediction_type(self) -> str:
        return self.scheduler.config.prediction_type


def leaving_steps(
    count: int, *, steps: int, late_steps: tuple[int, int], generator: torch.Generator
) -> Tensor:
    """For each sample a random late step, as an index from the start. (B,) int

    late_steps counts from the end, 1 the last: (1, 10) of 40 steps are the indices 30 to 39.
    Source: ImageReward, arXiv 2304.05977, Algorithm 1: t <- randint(T1, T2).
    """
    first, last = late_steps
    return steps - torch.randint(first, last + 1, (count,), generator=generator)


def predict_original(noisy: Tensor, output: Tensor, alpha_bar: Tensor, prediction_type: str) -> Tensor:
    """x_0 from x_t: (x_t - sqrt(1 - abar) e) / sqrt(abar); of a velocity, sqrt(abar) x_t - sqrt(1 - abar) v.

    Args: noisy, output (B, C, h, w); alpha_bar (B,).
    Raises: ValueError for a prediction type other than "epsilon" and "v_prediction".
    Source: Song et al., arXiv 2010.02502, eq. 9; Salimans and Ho, arXiv 2202.00512, appendix D.
    """
    share = alpha_bar.view(-1, 1, 1, 1)  # (B,) -> (B, 1, 1, 1)
    if prediction_type == "epsilon":
        return (noisy - (1 - share).sqrt() * output) / share.sqrt()
    if prediction_type == "v_prediction":
        return share.sqrt() * noisy - (1 - share).sqrt() * output
    raise ValueError(f"prediction type {prediction_type!r}: ReFL knows 'epsilon' and 'v_prediction'")


def add_noise(latents: Tensor, noise: Tensor, alpha_bar: Tensor) -> Tensor:
    """x_t = sqrt(abar) x_0 + sqrt(1 - abar) noise. (B, C, h, w)

    Source: Ho et al., arXiv 2006.11239, eq. 4.
    """
    share = alpha_bar.view(-1, 1, 1, 1)  # (B,) -> (B, 1, 1, 1)
    return share.sqrt() * latents + (1 - share).sqrt() * noise


def decode(vae: Any, latents: Tensor) -> Tensor:
    """Latents (B, C, h, w) -> images (B, 3, H, W) in 0..1, with gradient.

    Source: Stable Diffusion's pipeline and ImageReward's ReFL.py: (image / 2 + 0.5), clamped.
    """
    images = vae.decode(latents / vae.config.scaling_factor).sample
    return (images / 2 + 0.5).clamp(0, 1)


@torch.no_grad()
def encode(vae: Any, images: Tensor, generator: torch.Generator) -> Tensor:
    """Images (B, 3, H, W) in -1..1 -> latents (B, C, h, w), one draw of the encoder's distribution each."""
    drawn = vae.encode(images).latent_dist.sample(generator=generator)
    return drawn * vae.config.scaling_factor


@torch.no_grad()
def encode_prompts(pipeline: Any, prompts: list[str]) -> Tensor:
    """Prompts as the UNet reads them, cut at the tokenizer's length. (B, T, D)"""
    text, _ = pipeline.encode_prompt(prompts, pipeline.device, 1, do_classifier_free_guidance=False)
    return text

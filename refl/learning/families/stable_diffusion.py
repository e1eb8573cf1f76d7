"""Stable Diffusion 1.x and 2.x: CLIP's text encoder, a UNet that predicts noise or velocity, AutoencoderKL.

Letters: B samples, C latent channels, h w latent pixels, H W image pixels, T tokens, D their width.
"""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Any, Self

import torch
from diffusers import DDIMScheduler, DDPMScheduler, StableDiffusionPipeline
from torch import Tensor, nn

from refl.learning.chance import Rng, randint
from refl.learning.families.saving import carry_components

SCHEDULERS = {"ddpm": DDPMScheduler, "ddim": DDIMScheduler}
UNKNOWN = "prediction type {!r}: ReFL knows 'epsilon' and 'v_prediction'"


class StableDiffusion:
    """A Family; `Family` says what its methods promise."""

    def __init__(self, pipeline: Any) -> None:
        self.pipeline = pipeline

    @classmethod
    def load(cls, path_or_hub_id: str, **options: Any) -> Self:
        pipeline = StableDiffusionPipeline.from_pretrained(
            path_or_hub_id,
            safety_checker=None,
            feature_extractor=None,
            image_encoder=None,
            requires_safety_checker=False,
            **options,
        )
        return cls(pipeline)

    def save(self, folder: Path) -> None:
        self.pipeline.save_pretrained(folder)
        carry_components(Path(self.pipeline.name_or_path), folder)

    # The networks.

    @property
    def device(self) -> torch.device:
        return self.pipeline.unet.device  # the pipeline's own property takes a millisecond

    @property
    def denoiser(self) -> nn.Module:
        return self.pipeline.unet

    def freeze(self) -> None:
        for network in (self.pipeline.unet, self.pipeline.vae, self.pipeline.text_encoder):
            network.requires_grad_(False)

    def enable_gradient_checkpointing(self) -> None:
        self.pipeline.unet.enable_gradient_checkpointing()
        self.pipeline.vae.enable_gradient_checkpointing()

    # Prompts and images.

    @property
    def latent_shape(self) -> tuple[int, int, int]:
        config = self.pipeline.unet.config
        size = config.sample_size
        h, w = (size, size) if isinstance(size, int) else size
        return config.in_channels, h, w

    @property
    def image_size(self) -> tuple[int, int]:
        _, h, w = self.latent_shape
        return w * self.pipeline.vae_scale_factor, h * self.pipeline.vae_scale_factor

    @torch.no_grad()
    def encode_prompts(self, prompts: list[str]) -> Tensor:
        """Encode prompts, cut at the tokenizer's length. (B, T, D)"""
        text, _ = self.pipeline.encode_prompt(prompts, self.device, 1, do_classifier_free_guidance=False)
        return text

    @cached_property
    def empty_prompt(self) -> Tensor:
        """(1, T, D), what guidance leads away from."""
        return self.encode_prompts([""])

    @torch.no_grad()
    def encode(self, images: Tensor, rng: Rng) -> Tensor:
        """(B, 3, H, W) in -1..1 -> (B, C, h, w), one draw of the encoder's distribution each."""
        vae = self.pipeline.vae
        return vae.encode(images).latent_dist.sample(generator=rng) * vae.config.scaling_factor

    def decode(self, latents: Tensor) -> Tensor:
        """(B, C, h, w) -> (B, 3, H, W) in 0..1, with gradient.

        Source: Stable Diffusion's pipeline and ImageReward's ReFL.py: (image / 2 + 0.5), clamped.
        """
        vae = self.pipeline.vae
        images = vae.decode(latents / vae.config.scaling_factor).sample
        return (images / 2 + 0.5).clamp(0, 1)

    # Noise.

    def scheduler(self, sampler: str, steps: int) -> Any:
        """Return the pipeline's schedule as "ddpm" or "ddim" samples it, latents not clipped."""
        config = self.pipeline.scheduler.config
        scheduler = SCHEDULERS[sampler].from_config(config, clip_sample=False, thresholding=False)
        scheduler.set_timesteps(steps)
        return scheduler

    @cached_property
    def noise(self) -> Any:
        """The noise of pre-training, whichever sampler the pipeline came with."""
        return DDPMScheduler.from_config(self.pipeline.scheduler.config)

    def alpha_bar(self, timesteps: Tensor) -> Tensor:
        """Return the share of signal at each timestep, in 0..1. (B,) int -> (B,)"""
        return self.noise.alphas_cumprod.to(timesteps.device)[timesteps]

    def random_timesteps(self, rng: Rng) -> Tensor:
        return randint(0, self.noise.config.num_train_timesteps, rng).to(self.device)

    def add_noise(self, latents: Tensor, noise: Tensor, timesteps: Tensor) -> Tensor:
        return add_noise(latents, noise, self.alpha_bar(timesteps))

    # The UNet's predictions.

    def predict(
        self, latents: Tensor, timesteps: Tensor, text: Tensor, guidance_scale: float = 1.0
    ) -> Tensor:
        """Predict noise or velocity, guided; always one call of the UNet.

        Args: latents (B, C, h, w); timesteps () or (B,); text (B, T, D); guidance_scale: 1 is none.
        Source: Ho and Salimans, arXiv 2207.12598, eq. 6, in Stable Diffusion's form u + scale (c - u).
        """
        unet = self.pipeline.unet
        if guidance_scale == 1:
            return unet(latents, timesteps, text).sample
        both_texts = torch.cat([self.empty_prompt.expand_as(text), text])  # (2B, T, D)
        # A scheduler keeps its steps on the CPU; the UNet itself moves a single step only.
        both_timesteps = timesteps.to(latents.device).expand(len(latents)).repeat(2)  # (2B,)
        both = unet(latents.repeat(2, 1, 1, 1), both_timesteps, both_texts).sample
        unconditional, conditional = both.chunk(2)  # (2B, C, h, w) -> twice (B, C, h, w)
        return unconditional + guidance_scale * (conditional - unconditional)

    def predict_x0(self, noisy: Tensor, output: Tensor, timesteps: Tensor) -> Tensor:
        return predict_x0(noisy, output, self.alpha_bar(timesteps), self.prediction_type)

    def training_target(self, latents: Tensor, noise: Tensor, timesteps: Tensor) -> Tensor:
        return prediction_target(latents, noise, self.alpha_bar(timesteps), self.prediction_type)

    @property
    def prediction_type(self) -> str:
        return self.noise.config.prediction_type


def add_noise(latents: Tensor, noise: Tensor, alpha_bar: Tensor) -> Tensor:
    """x_t = sqrt(abar) x_0 + sqrt(1 - abar) noise.

    Args: latents, noise (B, C, h, w); alpha_bar (B,), in 0..1.
    Returns: (B, C, h, w).
    Source: Ho et al., arXiv 2006.11239, eq. 4.
    """
    share = alpha_bar.view(-1, 1, 1, 1)  # (B,) -> (B, 1, 1, 1)
    return share.sqrt() * latents + (1 - share).sqrt() * noise


def predict_x0(noisy: Tensor, output: Tensor, alpha_bar: Tensor, prediction_type: str) -> Tensor:
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
    raise ValueError(UNKNOWN.format(prediction_type))


def prediction_target(latents: Tensor, noise: Tensor, alpha_bar: Tensor, prediction_type: str) -> Tensor:
    """What a UNet should predict: the noise, or the velocity v = sqrt(abar) noise - sqrt(1 - abar) x_0.

    Args: latents, noise (B, C, h, w); alpha_bar (B,).
    Raises: ValueError for a prediction type other than "epsilon" and "v_prediction".
    Source: Salimans and Ho, arXiv 2202.00512, appendix D (velocity).
    """
    if prediction_type == "epsilon":
        return noise
    if prediction_type == "v_prediction":
        share = alpha_bar.view(-1, 1, 1, 1)  # (B,) -> (B, 1, 1, 1)
        return share.sqrt() * noise - (1 - share).sqrt() * latents
    raise ValueError(UNKNOWN.format(prediction_type))

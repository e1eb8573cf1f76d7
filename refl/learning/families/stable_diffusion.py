"""Stable Diffusion 1.x and 2.x: CLIP's text encoder, a UNet that predicts noise or velocity, AutoencoderKL.

Letters: B samples, C latent channels, h w latent pixels, T tokens, D their width.
"""

from __future__ import annotations

from functools import cached_property
from typing import Any, Self

import torch
from diffusers import DDIMScheduler, DDPMScheduler, StableDiffusionPipeline
from torch import Tensor

from refl.learning.chance import Rng, randint
from refl.learning.config import TuningConfig
from refl.learning.families import Unsupported
from refl.learning.families.conditioning import TextConditioning
from refl.learning.families.latent_diffusion import LatentDiffusion

SCHEDULERS = {"ddpm": DDPMScheduler, "ddim": DDIMScheduler}
UNKNOWN = "prediction type {!r}: ReFL knows 'epsilon' and 'v_prediction'"


class StableDiffusion(LatentDiffusion):
    """A Family; `Family` says what its methods promise."""

    pipeline_class = StableDiffusionPipeline
    denoiser_name = "unet"
    unused_parts = ("safety_checker", *LatentDiffusion.unused_parts)  # it would black out images

    @classmethod
    def load(cls, path_or_hub_id: str, **options: Any) -> Self:
        return super().load(path_or_hub_id, requires_safety_checker=False, **options)

    def check(self, config: TuningConfig) -> None:
        if config.sampler not in SCHEDULERS:
            samplers = " or ".join(map(repr, SCHEDULERS))
            raise Unsupported(f"sampler {config.sampler!r}: {type(self).__name__} is sampled by {samplers}")

    @torch.no_grad()
    def encode_prompts(self, prompts: list[str]) -> TextConditioning:
        """Encode prompts, cut at the tokenizer's length: embeddings (B, T, D)."""
        text, _ = self.pipeline.encode_prompt(prompts, self.device, 1, do_classifier_free_guidance=False)
        return TextConditioning(text)

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

    def denoise(self, latents: Tensor, timesteps: Tensor, text: TextConditioning, **inputs: Any) -> Tensor:
        return self.denoiser(latents, timesteps, text.embeddings, **inputs).sample

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

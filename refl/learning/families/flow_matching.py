"""Rectified flows: a straight line from an image to noise, and a denoiser that predicts its direction.

A timestep is 1000 sigma, where sigma in 0..1 is the share of noise.
Letters: B samples, C latent channels, h w latent pixels.
"""

from __future__ import annotations

from math import exp
from typing import Any

from diffusers import FlowMatchEulerDiscreteScheduler
from diffusers.pipelines.flux.pipeline_flux import calculate_shift
from torch import Tensor

from refl.learning.chance import Rng, randn
from refl.learning.config import TuningConfig
from refl.learning.families import Unsupported
from refl.learning.families.latent_diffusion import LatentDiffusion


class Euler(FlowMatchEulerDiscreteScheduler):  # type: ignore[misc] # diffusers has no types
    """diffusers' own, which counts the steps it was asked for; this one looks each up, and can be reused."""

    def step(self, output: Tensor, timestep: Tensor, latents: Tensor, generator: Any = None) -> Any:
        self._step_index = None
        return super().step(output, timestep, latents, generator=generator)


class FlowMatching(LatentDiffusion):
    """What the families of rectified flows share."""

    denoiser_name = "transformer"
    patch = 2

    def check(self, config: TuningConfig) -> None:
        name = type(self).__name__
        if config.sampler != "euler":
            raise Unsupported(f"sampler {config.sampler!r}: {name} is a flow, which is sampled by 'euler'")

    # Noise.

    def scheduler(self, sampler: str, steps: int) -> Any:
        """Return the pipeline's schedule for this size of image, followed without noise."""
        scheduler = Euler.from_config(self.pipeline.scheduler.config, stochastic_sampling=False)
        scheduler.set_timesteps(**self.schedule(steps))
        return scheduler

    def schedule(self, steps: int) -> dict[str, Any]:
        """Return what the pipeline asks its scheduler for; one with a constant shift ignores mu."""
        return {"num_inference_steps": steps, "mu": self.mu}

    @property
    def mu(self) -> float:
        """How far the schedule is shifted towards noise at this size of image: the logarithm of the shift."""
        _, h, w = self.latent_shape
        config = self.pipeline.scheduler.config
        return calculate_shift(
            (h // self.patch) * (w // self.patch),
            config.base_image_seq_len,
            config.max_image_seq_len,
            config.base_shift,
            config.max_shift,
        )

    @property
    def shift(self) -> float:
        """How far the odds of noise are shifted: 1 is not."""
        config = self.pipeline.scheduler.config
        if not config.use_dynamic_shifting:
            return config.shift
        return exp(self.mu) if config.time_shift_type == "exponential" else self.mu

    def random_timesteps(self, rng: Rng) -> Tensor:
        """Draw timesteps whose shares of noise are logit-normal, shifted as the schedule is. (B,)

        Source: Esser et al., arXiv 2403.03206, eq. 19 with mean 0 and deviation 1, and section 5.3.2 (shift).
        """
        sigmas = shift_sigmas(randn((), rng).sigmoid(), self.shift)
        return (1000 * sigmas).to(self.device)

    def add_noise(self, latents: Tensor, noise: Tensor, timesteps: Tensor) -> Tensor:
        return add_noise(latents, noise, timesteps / 1000)

    # The transformer's predictions.

    def predict_x0(self, noisy: Tensor, output: Tensor, timesteps: Tensor) -> Tensor:
        return predict_x0(noisy, output, timesteps / 1000)

    def training_target(self, latents: Tensor, noise: Tensor, timesteps: Tensor) -> Tensor:
        return noise - latents


def shift_sigmas(sigmas: Tensor, shift: float) -> Tensor:
    """Multiply the odds of noise by `shift`: sigma -> shift sigma / (1 + (shift - 1) sigma). (B,) -> (B,)

    Source: Esser et al., arXiv 2403.03206, eq. 23.
    """
    return shift * sigmas / (1 + (shift - 1) * sigmas)


def add_noise(latents: Tensor, noise: Tensor, sigmas: Tensor) -> Tensor:
    """x_t = (1 - sigma) x_0 + sigma noise.

    Args: latents, noise (B, C, h, w); sigmas (B,), in 0..1.
    Returns: (B, C, h, w).
    Source: Esser et al., arXiv 2403.03206, eq. 13; Liu et al., arXiv 2209.03003.
    """
    share = sigmas.view(-1, 1, 1, 1)  # (B,) -> (B, 1, 1, 1)
    return (1 - share) * latents + share * noise


def predict_x0(noisy: Tensor, velocity: Tensor, sigmas: Tensor) -> Tensor:
    """x_0 = x_t - sigma v, of the velocity v = noise - x_0.

    Args: noisy, velocity (B, C, h, w); sigmas (B,), in 0..1.
    Returns: (B, C, h, w).
    Source: `add_noise`, solved for x_0.
    """
    return noisy - sigmas.view(-1, 1, 1, 1) * velocity

"""What all families share: a frozen VAE, frozen text encoders, and a denoiser between them.

Letters: B samples, C latent channels, h w latent pixels, H W image pixels.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from math import lcm
from pathlib import Path
from typing import Any, ClassVar, Self

import torch
from diffusers import DiffusionPipeline
from torch import Tensor, nn

from refl.learning.chance import Rng
from refl.learning.families import Unsupported
from refl.learning.families.conditioning import TextConditioning, concatenate
from refl.learning.families.saving import carry_components


class LatentDiffusion:
    """Most of a Family; `Family` says what its methods promise."""

    pipeline_class: ClassVar[type[DiffusionPipeline]]
    denoiser_name: ClassVar[str]
    # Not loaded: they serve images that are given beside a prompt.
    unused_parts: ClassVar[tuple[str, ...]] = ("feature_extractor", "image_encoder")
    patch: ClassVar[int] = 1  # latent pixels along a side that the denoiser reads as one

    def __init__(self, pipeline: Any) -> None:
        self.pipeline = pipeline
        self._size = self.default_size()

    @classmethod
    def load(cls, path_or_hub_id: str, **options: Any) -> Self:
        local = options.get("local_files_only", False)
        index = cls.pipeline_class.load_config(path_or_hub_id, local_files_only=local)
        absent = [name for name, value in index.items() if value == [None, None]]  # diffusers asks for them
        options = dict.fromkeys([*absent, *cls.unused_parts]) | options
        return cls(cls.pipeline_class.from_pretrained(path_or_hub_id, **options))

    def save(self, folder: Path) -> None:
        self.pipeline.save_pretrained(folder)
        carry_components(Path(self.pipeline.name_or_path), folder)

    # The networks.

    @property
    def denoiser(self) -> Any:  # an nn.Module with diffusers' config
        return getattr(self.pipeline, self.denoiser_name)

    @property
    def device(self) -> torch.device:
        return self.denoiser.device  # the pipeline's own property takes a millisecond

    def freeze(self) -> None:
        for part in self.pipeline.components.values():
            if isinstance(part, nn.Module):
                part.requires_grad_(False)

    def enable_gradient_checkpointing(self) -> None:
        for network in (self.denoiser, self.pipeline.vae):
            network.enable_gradient_checkpointing()

    # Sizes.

    def default_size(self) -> tuple[int, int]:
        """(W, H) of the images that the pipeline makes when it is asked for no size."""
        size = self.denoiser.config.sample_size
        h, w = (size, size) if isinstance(size, int) else size
        return w * self.pipeline.vae_scale_factor, h * self.pipeline.vae_scale_factor

    @property
    def image_size(self) -> tuple[int, int]:
        return self._size

    @property
    def latent_shape(self) -> tuple[int, int, int]:
        w, h = self.image_size
        scale = self.pipeline.vae_scale_factor
        return self.pipeline.vae.config.latent_channels, h // scale, w // scale

    def resize(self, side: int) -> None:
        unit = lcm(8, self.patch * self.pipeline.vae_scale_factor)  # 8: diffusers refuses other sizes
        if side % unit:
            raise Unsupported(f"image_size {side}: this pipeline makes images in multiples of {unit} pixels")
        self._size = side, side

    # Prompts.

    def encode_prompts(self, prompts: list[str]) -> TextConditioning:
        raise NotImplementedError

    @property
    def text_limits(self) -> dict[str, int]:
        parts = self.pipeline.components
        return {
            name: parts[name.replace("text_encoder", "tokenizer")].model_max_length
            for name, part in parts.items()
            if name.startswith("text_encoder") and part is not None
        }

    @cached_property
    def unconditional(self) -> TextConditioning:
        return self.encode_prompts([""])

    # Images.

    @torch.no_grad()
    def encode(self, images: Tensor, rng: Rng) -> Tensor:
        vae = self.pipeline.vae
        return normalise_latents(vae.encode(images).latent_dist.sample(generator=rng), vae.config)

    def decode(self, latents: Tensor) -> Tensor:
        """(B, C, h, w) -> (B, 3, H, W) in 0..1, with gradient.

        Source: the pipelines' own and ImageReward's ReFL.py: (image / 2 + 0.5), clamped.
        """
        vae = self.pipeline.vae
        images = vae.decode(denormalise_latents(latents, vae.config)).sample
        return (images / 2 + 0.5).clamp(0, 1)

    # The denoiser's predictions.

    def denoise(self, latents: Tensor, timesteps: Tensor, text: TextConditioning) -> Tensor:
        """Call the denoiser once. (B, C, h, w), (B,) -> (B, C, h, w)"""
        raise NotImplementedError

    def predict(
        self, latents: Tensor, timesteps: Tensor, text: TextConditioning, guidance_scale: float = 1.0
    ) -> Tensor:
        """Predict what the denoiser predicts, guided; always one call.

        Args: latents (B, C, h, w); timesteps () or (B,); text, B of them; guidance_scale: 1 is none.
        Source: Ho and Salimans, arXiv 2207.12598, eq. 6, in Stable Diffusion's form u + scale (c - u).
        """
        # A scheduler keeps its steps on the CPU; a denoiser moves a single step at most.
        timesteps = timesteps.to(latents.device).expand(len(latents))  # (B,)
        if guidance_scale == 1:
            return self.denoise(latents, timesteps, text)
        both_texts = concatenate([self.unconditional.expand(len(latents)), text])  # 2B of them
        both = self.denoise(latents.repeat(2, 1, 1, 1), timesteps.repeat(2), both_texts)
        unconditional, conditional = both.chunk(2)  # (2B, C, h, w) -> twice (B, C, h, w)
        return unconditional + guidance_scale * (conditional - unconditional)


def normalise_latents(latents: Tensor, config: Mapping[str, Any]) -> Tensor:
    """Bring what a VAE encoded to the scale that its denoiser was trained at. (B, C, h, w) -> (B, C, h, w)

    Args: config: the VAE's: scaling_factor; shift_factor, or a mean and a deviation a channel, or neither.
    Source: diffusers' pipelines of SDXL (mean and deviation), SD3 and FLUX (shift).
    """
    mean, deviation = _moments(latents, config)
    return (latents - mean) * config["scaling_factor"] / deviation


def denormalise_latents(latents: Tensor, config: Mapping[str, Any]) -> Tensor:
    """Undo `normalise_latents`."""
    mean, deviation = _moments(latents, config)
    return latents * deviation / config["scaling_factor"] + mean


def _moments(latents: Tensor, config: Mapping[str, Any]) -> tuple[Tensor, Tensor]:
    """Mean and deviation, (1,) or (C, 1, 1)."""
    if config.get("latents_mean") and config.get("latents_std"):
        mean, deviation = latents.new_tensor([config["latents_mean"], config["latents_std"]])
        return mean.view(-1, 1, 1), deviation.view(-1, 1, 1)
    return latents.new_tensor([config.get("shift_factor") or 0.0]), latents.new_ones(1)

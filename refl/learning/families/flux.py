"""FLUX.1: CLIP's pooled text, T5's tokens, and a transformer of a flow on packed latents.

Letters: B samples, C latent channels, h w latent pixels, T tokens, D their width, P width of a whole prompt.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from diffusers import FluxPipeline
from torch import Tensor

from refl.learning.config import TuningConfig
from refl.learning.families import Unsupported
from refl.learning.families.conditioning import TextConditioning
from refl.learning.families.flow_matching import FlowMatching

T5_TOKENS = 512  # of a prompt: as its pipeline reads when it is not told how many


class Flux(FlowMatching):
    """A Family; `Family` says what its methods promise.

    Guidance is an input of the transformer (dev) or is not known to it (schnell); neither is called twice.
    """

    pipeline_class = FluxPipeline

    def check(self, config: TuningConfig) -> None:
        super().check(config)
        if config.guidance_scale != 1 and not self.denoiser.config.guidance_embeds:
            raise Unsupported(
                f"guidance_scale {config.guidance_scale}: this FLUX takes no guidance (as schnell), give 1"
            )

    def default_size(self) -> tuple[int, int]:
        side = self.pipeline.default_sample_size * self.pipeline.vae_scale_factor
        return side, side

    @torch.no_grad()
    def encode_prompts(self, prompts: list[str]) -> TextConditioning:
        """Encode prompts: embeddings (B, T, D) of T5, pooled (B, P) of CLIP."""
        embeddings, pooled, _ = self.pipeline.encode_prompt(
            prompts, device=self.device, max_sequence_length=T5_TOKENS
        )
        return TextConditioning(embeddings, pooled)

    @property
    def text_limits(self) -> dict[str, int]:
        return super().text_limits | {"text_encoder_2": T5_TOKENS}

    def schedule(self, steps: int) -> dict[str, Any]:
        return {"sigmas": np.linspace(1, 1 / steps, steps), "mu": self.mu}

    def predict(
        self, latents: Tensor, timesteps: Tensor, text: TextConditioning, guidance_scale: float = 1.0
    ) -> Tensor:
        b, _, h, w = latents.shape
        timesteps = timesteps.to(latents.device).expand(b)  # (B,)
        guidance = latents.new_full((b,), guidance_scale) if self.denoiser.config.guidance_embeds else None
        output = self.denoiser(
            pack(latents),
            text.embeddings,
            text.pooled,
            timesteps / 1000,
            img_ids=patch_places(h, w).to(latents),
            txt_ids=latents.new_zeros(text.embeddings.shape[1], 3),  # words have no place in the image
            guidance=guidance,
        ).sample
        return unpack(output, h, w)


def pack(latents: Tensor) -> Tensor:
    """Make each square of 2 x 2 latent pixels a token. (B, C, h, w) -> (B, h w / 4, 4 C)

    Source: FluxPipeline._pack_latents.
    """
    b, c, h, w = latents.shape
    squares = latents.view(b, c, h // 2, 2, w // 2, 2).permute(0, 2, 4, 1, 3, 5)  # (B, h/2, w/2, C, 2, 2)
    return squares.reshape(b, h * w // 4, 4 * c)


def unpack(tokens: Tensor, h: int, w: int) -> Tensor:
    """Undo `pack`. (B, h w / 4, 4 C) -> (B, C, h, w)"""
    b, _, width = tokens.shape
    squares = tokens.view(b, h // 2, w // 2, width // 4, 2, 2).permute(0, 3, 1, 4, 2, 5)
    return squares.reshape(b, width // 4, h, w)  # from (B, C, h/2, 2, w/2, 2)


def patch_places(h: int, w: int) -> Tensor:
    """Return 0, row and column of each token of `pack`. (h w / 4, 3)

    Source: FluxPipeline._prepare_latent_image_ids.
    """
    rows, columns = torch.meshgrid(torch.arange(h // 2), torch.arange(w // 2), indexing="ij")
    return torch.stack([torch.zeros_like(rows), rows, columns], dim=-1).view(-1, 3)

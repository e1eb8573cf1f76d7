"""Stable Diffusion XL: two CLIP text encoders, a pooled embedding, and a UNet that is told an image's size.

Letters: B samples, C latent channels, h w latent pixels, T tokens, D their width, P width of a whole prompt.
"""

from __future__ import annotations

from typing import Any, Self

import torch
from diffusers import StableDiffusionXLPipeline
from torch import Tensor

from refl.learning.families.conditioning import TextConditioning
from refl.learning.families.latent_diffusion import LatentDiffusion
from refl.learning.families.stable_diffusion import StableDiffusion


class StableDiffusionXL(StableDiffusion):
    """A Family; `Family` says what its methods promise. Its noise is Stable Diffusion's."""

    pipeline_class = StableDiffusionXLPipeline
    unused_parts = LatentDiffusion.unused_parts

    @classmethod
    def load(cls, path_or_hub_id: str, **options: Any) -> Self:
        # A watermark, drawn wherever its package is installed, would be scored with the image.
        return super(StableDiffusion, cls).load(path_or_hub_id, add_watermarker=False, **options)

    @torch.no_grad()
    def encode_prompts(self, prompts: list[str]) -> TextConditioning:
        """Encode prompts with both encoders: embeddings (B, T, D + D'), pooled (B, P) of the second.

        The empty prompt is zeros where the pipeline says so, as SDXL's own does: what it is sampled with in
        place of a negative prompt.
        """
        embeddings, _, pooled, _ = self.pipeline.encode_prompt(
            prompts, device=self.device, do_classifier_free_guidance=False
        )
        if self.pipeline.config.force_zeros_for_empty_prompt:
            empty = [row for row, prompt in enumerate(prompts) if not prompt]
            embeddings[empty], pooled[empty] = 0, 0
        return TextConditioning(embeddings, pooled)

    def denoise(self, latents: Tensor, timesteps: Tensor, text: TextConditioning, **inputs: Any) -> Tensor:
        w, h = self.image_size
        # As sampling says by default: the image had this size, was not cropped, and is to have this size.
        sizes = torch.tensor([h, w, 0, 0, h, w], dtype=latents.dtype, device=latents.device)
        added = {"text_embeds": text.pooled, "time_ids": sizes.expand(len(latents), -1)}
        return super().denoise(latents, timesteps, text, added_cond_kwargs=added, **inputs)

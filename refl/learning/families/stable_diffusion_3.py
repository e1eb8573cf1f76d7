"""Stable Diffusion 3 and 3.5: two CLIP text encoders and perhaps T5, and a transformer (MMDiT) of a flow.

Letters: B samples, C latent channels, h w latent pixels, T tokens, D their width, P width of a whole prompt.
"""

from __future__ import annotations

import torch
from diffusers import StableDiffusion3Pipeline
from torch import Tensor

from refl.learning.families.conditioning import TextConditioning
from refl.learning.families.flow_matching import FlowMatching

T5_TOKENS = 256  # of a prompt: as its pipeline reads when it is not told how many


class StableDiffusion3(FlowMatching):
    """A Family; `Family` says what its methods promise."""

    pipeline_class = StableDiffusion3Pipeline

    @torch.no_grad()
    def encode_prompts(self, prompts: list[str]) -> TextConditioning:
        """Encode prompts with all encoders: embeddings (B, T, D), pooled (B, P) of the two CLIPs.

        Without T5 its tokens are zeros, as in the pipeline.
        """
        embeddings, _, pooled, _ = self.pipeline.encode_prompt(
            prompts,
            None,
            None,
            device=self.device,
            do_classifier_free_guidance=False,
            max_sequence_length=T5_TOKENS,
        )
        return TextConditioning(embeddings, pooled)

    @property
    def text_limits(self) -> dict[str, int]:
        limits = super().text_limits
        return limits | ({"text_encoder_3": T5_TOKENS} if "text_encoder_3" in limits else {})

    def denoise(self, latents: Tensor, timesteps: Tensor, text: TextConditioning) -> Tensor:
        return self.denoiser(latents, text.embeddings, text.pooled, timesteps).sample

"""What a kind of diffusion pipeline is to a tuner. Another kind is a file here and a line in FAMILIES.

Letters: B samples, C latent channels, h w latent pixels, H W image pixels.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, Self

from rewardmodel.learning.errors import PermanentError

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

    from refl.learning.chance import Rng
    from refl.learning.config import TuningConfig
    from refl.learning.families.conditioning import TextConditioning

# Class of the diffusers pipeline -> its family. Names, so that nothing heavy is imported before it is used.
# What the folder of each must hold is in `forms.FORMS`.
FAMILIES = {
    "StableDiffusionPipeline": "refl.learning.families.stable_diffusion:StableDiffusion",
    "StableDiffusionImg2ImgPipeline": "refl.learning.families.stable_diffusion:StableDiffusion",
    "StableDiffusionXLPipeline": "refl.learning.families.stable_diffusion_xl:StableDiffusionXL",
    "StableDiffusion3Pipeline": "refl.learning.families.stable_diffusion_3:StableDiffusion3",
    "FluxPipeline": "refl.learning.families.flux:Flux",
}


class NotAPipeline(PermanentError):
    """No pipeline of a known family can be read there; the message names the file and what would help."""


class Unsupported(PermanentError):
    """A pipeline cannot be tuned as a configuration asks; the message names the field."""


class Family(Protocol):
    """A loaded pipeline: its networks, its noise, and the forms in which it takes prompts and images."""

    pipeline: Any  # diffusers' own, which samples when it is called
    denoiser_name: ClassVar[str]  # of the denoiser in the pipeline: "unet" or "transformer"

    @classmethod
    def load(cls, path_or_hub_id: str, **options: Any) -> Self:
        """Load the pipeline; `options` are its networks, loaded, and others of `from_pretrained`."""

    def check(self, config: TuningConfig) -> None:
        """Raises: Unsupported when this pipeline cannot be tuned so."""

    @property
    def device(self) -> torch.device: ...

    @property
    def denoiser(self) -> nn.Module:
        """The network that predicts; no other is ever trained."""

    @property
    def latent_shape(self) -> tuple[int, int, int]:
        """(C, h, w) of one sample."""

    @property
    def image_size(self) -> tuple[int, int]:
        """(W, H) in pixels: the pipeline's own size until it is resized."""

    def resize(self, side: int) -> None:
        """Sample and encode squares of so many pixels. Raises: Unsupported."""

    def freeze(self) -> None:
        """Ask no gradient of any weight."""

    def enable_gradient_checkpointing(self) -> None:
        """Recompute activations in the backward pass, in every network that the gradient runs through."""

    def encode_prompts(self, prompts: list[str]) -> TextConditioning:
        """Encode prompts as the denoiser reads them, without gradient; the empty one as `unconditional`."""

    @property
    def text_limits(self) -> Mapping[str, int]:
        """How many tokens each text encoder reads of a prompt, by its name in the pipeline."""

    @property
    def unconditional(self) -> TextConditioning:
        """What guidance leads away from, as one prompt."""

    def encode(self, images: Tensor, rng: Rng) -> Tensor:
        """Encode images (B, 3, H, W) in -1..1 to latents (B, C, h, w), one draw each, without gradient."""

    def decode(self, latents: Tensor) -> Tensor:
        """Decode latents (B, C, h, w) to images (B, 3, H, W) in 0..1, with gradient."""

    def scheduler(self, sampler: str, steps: int) -> Any:
        """Return a diffusers scheduler of this pipeline's noise, set to so many inference steps.

        Its `step` keeps nothing from one call to the next, so that one serves any number of rollouts.
        """

    def random_timesteps(self, rng: Rng) -> Tensor:
        """Draw timesteps as pre-training does, one of each generator, in this family's own unit. (B,)"""

    def add_noise(self, latents: Tensor, noise: Tensor, timesteps: Tensor) -> Tensor:
        """Noise clean latents (B, C, h, w) to their timesteps (B,)."""

    def predict(
        self, latents: Tensor, timesteps: Tensor, text: TextConditioning, guidance_scale: float = 1.0
    ) -> Tensor:
        """Call the denoiser once on latents (B, C, h, w) at timesteps () or (B,); scale 1 is no guidance."""

    def predict_x0(self, noisy: Tensor, output: Tensor, timesteps: Tensor) -> Tensor:
        """Return the clean latents (B, C, h, w) that the denoiser's output implies, with gradient."""

    def training_target(self, latents: Tensor, noise: Tensor, timesteps: Tensor) -> Tensor:
        """Return what the denoiser should predict for latents that were noised so. (B, C, h, w)"""

    def save(self, folder: Path) -> None:
        """Save the whole pipeline as diffusers does, with what it was loaded without."""

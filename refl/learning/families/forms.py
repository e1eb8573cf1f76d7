"""What the folder of each class of pipeline must consist of, by its configuration files. No torch.

Numbers that a file leaves out are those that diffusers and transformers take.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

Configs = Mapping[str, Mapping[str, Any]]  # component -> what its configuration file says
Fault = tuple[str, str]  # component, and what is wrong with its configuration and would help

# Schedulers whose noise is fixed by the betas in their configuration, so that another can be made from it.
DIFFUSION_SCHEDULERS = frozenset(
    f"{name}Scheduler"
    for name in (
        *("DDIM", "DDIMParallel", "DDPM", "DDPMParallel", "DEISMultistep", "DPMSolverMultistep"),
        *("DPMSolverSDE", "DPMSolverSinglestep", "EulerAncestralDiscrete", "EulerDiscrete", "HeunDiscrete"),
        *("KDPM2AncestralDiscrete", "KDPM2Discrete", "LCM", "LMSDiscrete", "PNDM", "SASolver", "TCD"),
        "UniPCMultistep",
    )
)
PREDICTION_TYPES = ("epsilon", "v_prediction")
# What a UNet with more channels than the latents is, so that the refusal can say it.
CONDITIONED_UNETS = {7: "an upscaler's", 8: "an InstructPix2Pix", 9: "an inpainting"}


@dataclass(frozen=True)
class Form:
    """What a class of pipeline consists of.

    Attributes:
        networks: component -> the classes that it may be of.
        tokenizers: component -> the text encoder that reads its tokens.
        schedulers: the classes that its scheduler may be of; example: one of them, to suggest.
        faults: yields what else its configurations say that cannot be sampled or tuned.
    """

    networks: Mapping[str, tuple[str, ...]]
    tokenizers: Mapping[str, str]
    schedulers: frozenset[str]
    example: str
    faults: Callable[[Configs], Iterator[Fault]]


def diffusion_faults(configs: Configs) -> Iterator[Fault]:
    """Yield that a UNet's inputs or outputs are not latents of the VAE, or it predicts what is not known."""
    unet, latents = configs["unet"], configs["vae"].get("latent_channels", 4)
    channels = unet.get("in_channels", 4)
    if channels != latents:
        kind = CONDITIONED_UNETS.get(channels, "another")
        yield (
            "unet",
            f"in_channels is {channels}, but the VAE's latents have {latents}: {kind} UNet, which takes more "
            "than a prompt; use its text-to-image pipeline",
        )
    if unet.get("out_channels", 4) != latents:
        yield (
            "unet",
            f"out_channels is {unet.get('out_channels', 4)}, but the VAE's latents have {latents}; "
            "a UNet that learned its variance is not known",
        )
    if not unet.get("sample_size"):
        yield "unet", "sample_size is missing: set it to the side of its latents, in latent pixels"
    prediction = configs["scheduler"].get("prediction_type", "epsilon")
    if prediction not in PREDICTION_TYPES:
        yield (
            "scheduler",
            f"prediction_type is {prediction!r}: 'epsilon' and 'v_prediction' can be tuned",
        )


def _stable_diffusion_faults(configs: Configs) -> Iterator[Fault]:
    yield from diffusion_faults(configs)
    unet = configs["unet"]
    if unet.get("addition_embed_type") == "text_time":
        yield "unet", "addition_embed_type is 'text_time': SDXL's UNet; use StableDiffusionXLPipeline"
    if unet.get("time_cond_proj_dim") is not None:
        yield (
            "unet",
            f"time_cond_proj_dim is {unet['time_cond_proj_dim']}: the UNet of a latent consistency model, "
            "which takes its guidance as an input; use the model that it was distilled from",
        )
    for field in ("addition_embed_type", "class_embed_type", "num_class_embeds", "encoder_hid_dim_type"):
        if unet.get(field) is not None:
            yield "unet", f"{field} is {unet[field]!r}: the UNet takes more than a prompt and a timestep"
    yield from width_faults(configs, configs["text_encoder"].get("hidden_size", 512))


def width_faults(configs: Configs, text: int) -> Iterator[Fault]:
    """Yield that the UNet reads text of another width than the text encoders give."""
    width = configs["unet"].get("cross_attention_dim", 1280)
    if set(width if isinstance(width, list) else [width]) != {text}:
        yield (
            "unet",
            f"cross_attention_dim is {width}, but the text encoder's hidden size is {text}: "
            "they are of different models",
        )


_STABLE_DIFFUSION = Form(
    networks={
        "unet": ("UNet2DConditionModel",),
        "vae": ("AutoencoderKL",),
        "text_encoder": ("CLIPTextModel",),
    },
    tokenizers={"tokenizer": "text_encoder"},
    schedulers=DIFFUSION_SCHEDULERS,
    example="DDIMScheduler",
    faults=_stable_diffusion_faults,
)

# Class of the diffusers pipeline -> its form.
FORMS = {
    "StableDiffusionPipeline": _STABLE_DIFFUSION,
    "StableDiffusionImg2ImgPipeline": _STABLE_DIFFUSION,
}

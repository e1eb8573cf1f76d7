"""What the folder of each class of pipeline must consist of, by its configuration files. No torch.

Numbers that a file leaves out are those that diffusers and transformers take.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
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
FLOW_SCHEDULERS = frozenset({"FlowMatchEulerDiscreteScheduler"})
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
        optional: components that may be null.
    """

    networks: Mapping[str, tuple[str, ...]]
    tokenizers: Mapping[str, str]
    schedulers: frozenset[str]
    example: str
    faults: Callable[[Configs], Iterator[Fault]]
    optional: frozenset[str] = frozenset()

    def without_null(self, index: Mapping[str, Any]) -> Form:
        """Return the form of a pipeline whose model_index.json leaves out some of what is optional."""
        null = {name for name in self.optional if not any(index.get(name) or ())}
        return replace(
            self,
            networks={name: classes for name, classes in self.networks.items() if name not in null},
            tokenizers={name: encoder for name, encoder in self.tokenizers.items() if name not in null},
        )


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
    if prediction == "epsilon" and configs["scheduler"].get("rescale_betas_zero_snr"):
        yield (
            "scheduler",
            "rescale_betas_zero_snr is true: of noise without signal, an image is not known from the noise "
            "('epsilon'); set it to false, or prediction_type to 'v_prediction' if the UNet predicts that",
        )


def _stable_diffusion_faults(configs: Configs) -> Iterator[Fault]:
    yield from diffusion_faults(configs)
    unet = configs["unet"]
    if unet.get("addition_embed_type") == "text_time":
        yield "unet", "addition_embed_type is 'text_time': SDXL's UNet; use StableDiffusionXLPipeline"
    yield from input_faults(configs, "addition_embed_type")
    yield from width_faults(configs, configs["text_encoder"].get("hidden_size", 512))


def _stable_diffusion_xl_faults(configs: Configs) -> Iterator[Fault]:
    yield from diffusion_faults(configs)
    unet, encoders = configs["unet"], (configs["text_encoder"], configs["text_encoder_2"])
    if unet.get("addition_embed_type") != "text_time":
        yield "unet", "addition_embed_type is not 'text_time': no UNet of SDXL"
    yield from input_faults(configs)
    # Six numbers say the size of an image, its crop, and the size wanted; a refiner reads five.
    added = 6 * unet.get("addition_time_embed_dim", 0) + encoders[1].get("projection_dim", 512)
    width = unet.get("projection_class_embeddings_input_dim")
    if width != added:
        yield (
            "unet",
            f"projection_class_embeddings_input_dim is {width}, but six sizes and the projection of "
            f"text_encoder_2 are {added} wide: a refiner's UNet, or of another model",
        )
    yield from width_faults(configs, *(encoder.get("hidden_size", 512) for encoder in encoders))


def input_faults(configs: Configs, *others: str) -> Iterator[Fault]:
    """Yield that a UNet takes more than a prompt and a timestep; `others` are further fields that say so."""
    unet = configs["unet"]
    if unet.get("time_cond_proj_dim") is not None:
        yield (
            "unet",
            f"time_cond_proj_dim is {unet['time_cond_proj_dim']}: the UNet of a latent consistency model, "
            "which takes its guidance as an input; use the model that it was distilled from",
        )
    for field in (*others, "class_embed_type", "num_class_embeds", "encoder_hid_dim_type"):
        if unet.get(field) is not None:
            yield "unet", f"{field} is {unet[field]!r}: the UNet takes more than a prompt and a timestep"


def width_faults(configs: Configs, *texts: int) -> Iterator[Fault]:
    """Yield that the UNet reads text of another width than the text encoders give together."""
    width = configs["unet"].get("cross_attention_dim", 1280)
    if set(width if isinstance(width, list) else [width]) != {sum(texts)}:
        yield (
            "unet",
            f"cross_attention_dim is {width}, but the text encoder's hidden size is "
            f"{' + '.join(map(str, texts))}: they are of different models",
        )


def _stable_diffusion_3_faults(configs: Configs) -> Iterator[Fault]:
    yield from transformer_faults(configs, pixels=1, defaults={"in_channels": 16, "out_channels": 16})
    words = configs["text_encoder_3"].get("d_model", 512) if "text_encoder_3" in configs else None
    pooled = sum(configs[clip].get("projection_dim", 512) for clip in ("text_encoder", "text_encoder_2"))
    yield from text_faults(configs, words=words, pooled=pooled, default=2048)


def _flux_faults(configs: Configs) -> Iterator[Fault]:
    yield from transformer_faults(configs, pixels=4, defaults={"in_channels": 64})
    words = configs["text_encoder_2"].get("d_model", 512)
    pooled = configs["text_encoder"].get("hidden_size", 512)
    yield from text_faults(configs, words=words, pooled=pooled, default=768)


def transformer_faults(configs: Configs, *, pixels: int, defaults: Mapping[str, int]) -> Iterator[Fault]:
    """Yield that a transformer's inputs or outputs are not latents of the VAE, so many pixels a token.

    Args: defaults: the fields to look at, and what they are where they are left out.
    """
    latents = configs["vae"].get("latent_channels", 4)
    for field, default in defaults.items():
        channels = configs["transformer"].get(field, default)
        if channels not in (None, pixels * latents):
            yield (
                "transformer",
                f"{field} is {channels}, but the VAE's latents have {latents}, {pixels} to a token: it takes "
                "more than a prompt, or is of another model; use its text-to-image pipeline",
            )


def text_faults(configs: Configs, *, words: int | None, pooled: int, default: int) -> Iterator[Fault]:
    """Yield that a transformer reads text of other widths than the text encoders give."""
    for field, given, usual in (
        ("joint_attention_dim", words, 4096),
        ("pooled_projection_dim", pooled, default),
    ):
        width = configs["transformer"].get(field, usual)
        if given is not None and width != given:
            fault = f"{field} is {width}, but the text encoders give {given}: they are of different models"
            yield "transformer", fault


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

_STABLE_DIFFUSION_XL = Form(
    networks={**_STABLE_DIFFUSION.networks, "text_encoder_2": ("CLIPTextModelWithProjection",)},
    tokenizers={"tokenizer": "text_encoder", "tokenizer_2": "text_encoder_2"},
    schedulers=DIFFUSION_SCHEDULERS,
    example="EulerDiscreteScheduler",
    faults=_stable_diffusion_xl_faults,
)

_STABLE_DIFFUSION_3 = Form(
    networks={
        "transformer": ("SD3Transformer2DModel",),
        "vae": ("AutoencoderKL",),
        "text_encoder": ("CLIPTextModelWithProjection",),
        "text_encoder_2": ("CLIPTextModelWithProjection",),
        "text_encoder_3": ("T5EncoderModel",),
    },
    tokenizers={f"tokenizer{end}": f"text_encoder{end}" for end in ("", "_2", "_3")},
    schedulers=FLOW_SCHEDULERS,
    example="FlowMatchEulerDiscreteScheduler",
    faults=_stable_diffusion_3_faults,
    optional=frozenset({"text_encoder_3", "tokenizer_3"}),
)

_FLUX = Form(
    networks={
        "transformer": ("FluxTransformer2DModel",),
        "vae": ("AutoencoderKL",),
        "text_encoder": ("CLIPTextModel",),
        "text_encoder_2": ("T5EncoderModel",),
    },
    tokenizers={"tokenizer": "text_encoder", "tokenizer_2": "text_encoder_2"},
    schedulers=FLOW_SCHEDULERS,
    example="FlowMatchEulerDiscreteScheduler",
    faults=_flux_faults,
)

# Class of the diffusers pipeline -> its form.
FORMS = {
    "StableDiffusionPipeline": _STABLE_DIFFUSION,
    "StableDiffusionImg2ImgPipeline": _STABLE_DIFFUSION,
    "StableDiffusionXLPipeline": _STABLE_DIFFUSION_XL,
    "StableDiffusion3Pipeline": _STABLE_DIFFUSION_3,
    "FluxPipeline": _FLUX,
}

"""A tiny random pipeline of each family and of each of its kinds, made of official parts."""

import string

import torch
from diffusers import (
    DDIMScheduler,
    FlowMatchEulerDiscreteScheduler,
    FluxPipeline,
    FluxTransformer2DModel,
    SD3Transformer2DModel,
    StableDiffusion3Pipeline,
    StableDiffusionXLPipeline,
)
from transformers import (
    CLIPTextModel,
    CLIPTextModelWithProjection,
    T5Config,
    T5EncoderModel,
    T5TokenizerFast,
)

from tests.refl.learning.conftest import build_pipeline, build_tokenizer, build_unet, build_vae, text_config


def build_sdxl(**settings):
    unet = build_unet(
        cross_attention_dim=32,
        addition_embed_type="text_time",
        addition_time_embed_dim=4,
        projection_class_embeddings_input_dim=6 * 4 + 12,
        transformer_layers_per_block=1,
        use_linear_projection=True,
    )
    return StableDiffusionXLPipeline(
        vae=build_vae(scaling_factor=0.13),
        text_encoder=CLIPTextModel(text_config(num_hidden_layers=2)),
        text_encoder_2=CLIPTextModelWithProjection(text_config(num_hidden_layers=2, projection_dim=12)),
        tokenizer=build_tokenizer(),
        tokenizer_2=build_tokenizer(),
        unet=unet,
        scheduler=DDIMScheduler(
            beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", clip_sample=False
        ),
        **settings,
    )


def build_t5():
    pieces = ["<pad>", "</s>", "<unk>", "▁", *string.ascii_lowercase]
    tokenizer = T5TokenizerFast(vocab=[(piece, -1.0) for piece in pieces], extra_ids=0)
    config = T5Config(
        vocab_size=len(pieces),
        d_model=32,
        d_kv=8,
        d_ff=32,
        num_layers=1,
        num_heads=2,
        is_encoder_decoder=False,
    )
    return tokenizer, T5EncoderModel(config)


def build_sd3(*, with_t5=True, **scheduling):
    tokenizer_3, text_encoder_3 = build_t5() if with_t5 else (None, None)
    transformer = SD3Transformer2DModel(
        sample_size=8,
        patch_size=2,
        in_channels=4,
        out_channels=4,
        num_layers=2,
        attention_head_dim=8,
        num_attention_heads=2,
        joint_attention_dim=32,
        caption_projection_dim=16,
        pooled_projection_dim=24,
        pos_embed_max_size=8,
    )
    return StableDiffusion3Pipeline(
        transformer=transformer,
        scheduler=FlowMatchEulerDiscreteScheduler(**{"shift": 3.0, **scheduling}),
        vae=build_vae(scaling_factor=1.53, shift_factor=0.06),
        text_encoder=CLIPTextModelWithProjection(text_config(num_hidden_layers=2, projection_dim=12)),
        tokenizer=build_tokenizer(),
        text_encoder_2=CLIPTextModelWithProjection(text_config(num_hidden_layers=2, projection_dim=12)),
        tokenizer_2=build_tokenizer(),
        text_encoder_3=text_encoder_3,
        tokenizer_3=tokenizer_3,
    )


def build_flux(*, is_dev):
    tokenizer_2, text_encoder_2 = build_t5()
    transformer = FluxTransformer2DModel(
        in_channels=16,
        num_layers=1,
        num_single_layers=1,
        attention_head_dim=8,
        num_attention_heads=2,
        joint_attention_dim=32,
        pooled_projection_dim=16,
        guidance_embeds=is_dev,
        axes_dims_rope=(2, 2, 4),
    )
    scheduler = FlowMatchEulerDiscreteScheduler(
        **({"shift": 3.0, "use_dynamic_shifting": True} if is_dev else {})
    )
    return FluxPipeline(
        scheduler=scheduler,
        vae=build_vae(scaling_factor=0.36, shift_factor=0.12),
        text_encoder=CLIPTextModel(text_config()),
        tokenizer=build_tokenizer(),
        text_encoder_2=text_encoder_2,
        tokenizer_2=tokenizer_2,
        transformer=transformer,
    )


ZERO_SNR = {"rescale_betas_zero_snr": True, "timestep_spacing": "trailing"}
KINDS = {
    "sd, epsilon": lambda: build_pipeline("epsilon"),
    "sd, velocity": lambda: build_pipeline("v_prediction"),
    "sd, zero snr": lambda: build_pipeline("v_prediction", **ZERO_SNR),
    "sdxl": build_sdxl,
    "sdxl, empty prompt": lambda: build_sdxl(force_zeros_for_empty_prompt=False),
    "sd3": build_sd3,
    "sd3, no t5": lambda: build_sd3(with_t5=False),
    "sd3, dynamic shift": lambda: build_sd3(use_dynamic_shifting=True),
    "flux dev": lambda: build_flux(is_dev=True),
    "flux schnell": lambda: build_flux(is_dev=False),
}


def build(kind):
    torch.manual_seed(0)
    pipeline = KINDS[kind]()
    for part in pipeline.components.values():
        if isinstance(part, torch.nn.Module):
            part.eval()  # T5 would drop out, as networks that are built and not loaded do
    return pipeline

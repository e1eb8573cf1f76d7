"""The denoiser of the small world: a UNet and a CLIP text encoder, learned together on misstated captions.

Each attribute word of a caption is wrong with probability 0.3 (`misstate`), so it learns to draw crisply and
to bind badly: the pictures of one prompt differ in what they get right, and ReFL has something to undo.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from demo.pretraining.autoencoder import OnStep
from demo.pretraining.tokens import LENGTH
from demo.world.captions import Split, Statement, misstate, split_of
from demo.world.scenes import Scene
from rewardmodel.learning.averaging import ExponentialMovingAverage

WIDTH = 128  # of the text encoder
EMPTY = 0.1  # share of captions left out, for guidance


@dataclass(frozen=True)
class DenoiserConfig:
    steps: int = 7000
    batch: int = 32
    learning_rate: float = 1.2e-3
    warmup: int = 100
    hold: float = 0.45  # share of the steps at the full learning rate; it then falls linearly to nothing
    average: float = 0.998  # decay of the moving average of the weights


def build_unet(channels: int) -> Any:
    from diffusers import UNet2DConditionModel

    return UNet2DConditionModel(
        sample_size=8,
        in_channels=channels,
        out_channels=channels,
        down_block_types=("CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D"),
        block_out_channels=(64, 128),
        layers_per_block=1,
        cross_attention_dim=WIDTH,
        attention_head_dim=4,  # diffusers means the number of heads
        norm_num_groups=16,
    )


def build_text_encoder(tokenizer: Any) -> Any:
    from transformers import CLIPTextConfig, CLIPTextModel

    encoder = CLIPTextModel(
        CLIPTextConfig(
            vocab_size=len(tokenizer),
            hidden_size=WIDTH,
            intermediate_size=4 * WIDTH,
            num_hidden_layers=3,
            num_attention_heads=4,
            max_position_embeddings=LENGTH,
            projection_dim=WIDTH,
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
    )
    for name, parameter in encoder.named_parameters():
        if "embedding" in name:  # with CLIP's own 0.02 an encoder this narrow does not start to learn
            torch.nn.init.normal_(parameter, std=0.3 if "token" in name else 0.1)
    return encoder


def build_scheduler() -> Any:
    from diffusers import DDIMScheduler

    return DDIMScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        prediction_type="v_prediction",
        clip_sample=False,
        set_alpha_to_one=False,
        steps_offset=1,
    )


def misstated_caption(statement: Statement, generator: Random) -> str:
    """Return a misstated caption of the generators' own split, so that no caption of another split leaks."""
    while True:
        caption = str(misstate(statement, generator))
        if split_of(caption) is Split.GENERATOR:
            return caption


def learn_to_denoise(
    unet: Any,
    text_encoder: Any,
    tokenizer: Any,
    *,
    latents: Tensor,
    scenes: Sequence[Scene],
    config: DenoiserConfig,
    generator: Random,
    on_step: OnStep,
) -> None:
    """Train both in place; they end with the moving average of their weights.

    Each step:

    1. `_draw_captions` misstates the captions of a random batch of scenes, or leaves them out.
    2. `_denoising_loss` compares the predicted velocity with the true one.
    3. The optimiser steps, and the average of the weights follows.

    Args: latents: (N, C, 8, 8), of the scenes, standard deviation about 1.
    """
    from diffusers.models.attention_processor import AttnProcessor

    unet.set_attn_processor(AttnProcessor())  # written out: bfloat16 is twice as fast here, but only with it
    scheduler = build_scheduler()
    parameters = [*unet.parameters(), *text_encoder.parameters()]
    average = ExponentialMovingAverage(parameters, config.average)
    optimizer = torch.optim.AdamW(parameters, lr=config.learning_rate, weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: _rate(step, config))
    for step in range(1, config.steps + 1):
        batch = torch.randint(len(latents), (config.batch,))
        captions = _draw_captions([scenes[scene] for scene in batch.tolist()], generator)
        tokens = tokenizer(captions, padding="max_length", max_length=LENGTH, return_tensors="pt").input_ids
        loss = _denoising_loss(unet, text_encoder, scheduler, latents[batch], tokens)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        schedule.step()
        average.update()
        on_step(step, loss.item())
    average.copy_to_parameters()


def _draw_captions(scenes: Sequence[Scene], generator: Random) -> list[str]:
    """Return a misstated caption of each scene; some are empty, for guidance."""
    return [
        "" if generator.random() < EMPTY else misstated_caption(scene.statement, generator)
        for scene in scenes
    ]


def _denoising_loss(unet: Any, text_encoder: Any, scheduler: Any, clean: Tensor, tokens: Tensor) -> Tensor:
    """Mean squared error of the velocity at random timesteps. Args: clean (B, C, 8, 8); tokens (B, T)."""
    noise, timesteps = torch.randn_like(clean), torch.randint(0, 1000, (len(clean),))
    with torch.autocast("cpu", torch.bfloat16):
        noisy = scheduler.add_noise(clean, noise, timesteps)
        predicted = unet(noisy, timesteps, text_encoder(tokens)[0]).sample
    return F.mse_loss(predicted.float(), scheduler.get_velocity(clean, noise, timesteps))


def _rate(step: int, config: DenoiserConfig) -> float:
    """Return the factor of the learning rate at this step, counted from 0."""
    rising = min(1.0, (step + 1) / config.warmup)
    falling = (config.steps - step) / (config.steps * (1 - config.hold))
    return rising * min(1.0, max(falling, 0.02))

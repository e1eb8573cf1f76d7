"""The denoiser of the small world: a UNet that learns on misstated captions what to draw.

Each attribute word of a caption is wrong with probability 0.2 (`misstate`; an eighth of them are in the end,
as captions of other splits are drawn again), so it learns to draw crisply and to bind unsurely: the pictures
of one prompt differ in what they get right, and tuning has something to undo. It learns in lessons (`LESSONS`
in `generator.py`), whose first leave open what the words say and little else: where place and size are open
too, a word makes so little difference that shapes' words were not heeded after 12,000 steps.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

import torch
from torch import Tensor

from demo.pretraining.autoencoder import GRID, OnStep
from demo.pretraining.precision import FloatAttention, autocast, float_norms
from demo.pretraining.tokens import LENGTH
from demo.world.captions import WORD_IS_WRONG, Split, Statement, misstate, split_of
from demo.world.scenes import Scene
from rewardmodel.learning.averaging import ExponentialMovingAverage

WIDTH = 128  # of the text encoder
EMPTY = 0.1  # share of captions left out, for guidance


@dataclass(frozen=True)
class DenoiserConfig:
    """How to train.

    Attributes:
        word_is_wrong: probability that an attribute word of a caption is, before captions of other splits are
            drawn again.
        hold: share of the steps at the full learning rate, which then falls linearly to nothing.
        average: decay of the moving average of the weights.
        favoured: timesteps of 1000, in which layout and shapes are decided.
        favoured_share: of the timesteps are drawn from these at the full rate, the others from all; it falls
            with the rate, so that at the end, when edges are sharpened, all are drawn alike.
    """

    steps: int = 5000
    batch: int = 32
    word_is_wrong: float = WORD_IS_WRONG
    learning_rate: float = 1e-3
    warmup: int = 100
    hold: float = 0.45
    average: float = 0.998
    favoured: tuple[int, int] = (300, 800)
    favoured_share: float = 0.75


def build_unet(channels: int) -> Any:
    from diffusers import UNet2DConditionModel

    return UNet2DConditionModel(
        sample_size=GRID,
        in_channels=channels,
        out_channels=channels,
        # words are read where cells are 8 and 16 px wide; the finest cells only draw
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        block_out_channels=(32, 64, 128),
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
    """Stable Diffusion's schedule with more noise at its end, and sampled from that end.

    With Stable Diffusion's own last variance, 0.012, the mean of a 16 x 16 picture still shows through at the
    last timestep, and what is sampled from pure noise comes out grey whatever background is asked for.
    """
    from diffusers import DDIMScheduler

    return DDIMScheduler(
        beta_start=0.00085,
        beta_end=0.02,
        beta_schedule="scaled_linear",
        prediction_type="v_prediction",
        clip_sample=False,
        set_alpha_to_one=False,
        steps_offset=1,
        timestep_spacing="trailing",
    )


def misstated_caption(statement: Statement, generator: Random, wrong: float = WORD_IS_WRONG) -> str:
    """Return a misstated caption of the generators' own split, so that no caption of another split leaks."""
    while True:
        caption = str(misstate(statement, generator, wrong))
        if split_of(caption) is Split.GENERATOR:
            return caption


def learn_to_denoise(
    unet: Any,
    text_encoder: Any,
    tokenizer: Any,
    *,
    latents: Tensor,
    weights: Tensor,
    scenes: Sequence[Scene],
    config: DenoiserConfig,
    generator: Random,
    on_step: OnStep,
) -> None:
    """Train the UNet in place, by what the text encoder says; it ends with the moving average of its weights.

    Each step:

    1. `_draw_captions` misstates the captions of a random batch of scenes, or leaves them out.
    2. `_predict_velocity` predicts the velocity; its squared error counts most near things.
    3. The optimiser steps, and the average of the weights follows.

    Args:
        latents: (N, C, h, w), of the scenes, standard deviation about 1.
        weights: (N, 1, h, w), of the squared errors.
    """
    unet.set_attn_processor(FloatAttention())
    scheduler = build_scheduler()
    parameters = [*unet.parameters()]
    average = ExponentialMovingAverage(parameters, config.average)
    optimizer = torch.optim.AdamW(parameters, lr=config.learning_rate, weight_decay=1e-2, fused=True)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: rate(step, config))
    for step in range(1, config.steps + 1):
        batch = torch.randint(len(latents), (config.batch,))
        captions = _draw_captions(
            [scenes[scene] for scene in batch.tolist()], config.word_is_wrong, generator
        )
        tokens = tokenizer(captions, padding="max_length", max_length=LENGTH, return_tensors="pt").input_ids
        timesteps = draw_timesteps(config.batch, config, rate(step, config))
        velocity, predicted = _predict_velocity(
            unet, text_encoder, scheduler, latents[batch], timesteps, tokens
        )
        loss = (weights[batch] * (predicted - velocity).square()).mean()
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        schedule.step()
        average.update()
        on_step(step, loss.item())
    average.copy_to_parameters()


def _draw_captions(scenes: Sequence[Scene], wrong: float, generator: Random) -> list[str]:
    """Return a misstated caption of each scene; some are empty, for guidance."""
    return [
        "" if generator.random() < EMPTY else misstated_caption(scene.statement, generator, wrong)
        for scene in scenes
    ]


def _predict_velocity(
    unet: Any, text_encoder: Any, scheduler: Any, clean: Tensor, timesteps: Tensor, tokens: Tensor
) -> tuple[Tensor, Tensor]:
    """Return the true velocity and the predicted one, (B, C, h, w) as `clean` is. Args: tokens (B, T)."""
    noise = torch.randn_like(clean)
    noisy = scheduler.add_noise(clean, noise, timesteps)
    with torch.no_grad():
        words = text_encoder(tokens)[0]
    with autocast(), float_norms(unet):
        predicted = unet(noisy, timesteps, words).sample
    return scheduler.get_velocity(clean, noise, timesteps), predicted.float()


def draw_timesteps(count: int, config: DenoiserConfig, factor: float) -> Tensor:
    """(count,) int, of 1000. Args: factor: of the learning rate."""
    anywhere, favoured = torch.randint(0, 1000, (count,)), torch.randint(*config.favoured, (count,))
    return torch.where(torch.rand(count) < factor * config.favoured_share, favoured, anywhere)


def rate(step: int, config: DenoiserConfig) -> float:
    """Return the factor of the learning rate at this step, counted from 0."""
    rising = min(1.0, (step + 1) / config.warmup)
    falling = (config.steps - step) / (config.steps * (1 - config.hold))
    return rising * min(1.0, max(falling, 0.02))

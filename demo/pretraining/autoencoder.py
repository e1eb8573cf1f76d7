"""The autoencoder of the small world: a diffusers AutoencoderKL, 64 px -> 16 x 16 x 8.

Its code is fixed first, in closed form: the principal components of 4 x 4 px patches, their spread evened
out. Encoder and decoder then learn it apart from each other, the one to write it and the other to draw from
it under noise, which on a CPU is several times faster than to search for a code by gradient. The decoder is
convolutional and sees far past one patch, so no patch border shows.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from demo.pretraining.precision import autocast, float_norms
from demo.world.scenes import SIDE, Scene, render

PATCH = 4  # px
CHANNELS = 8
GRID = SIDE // PATCH  # patches in a row
EVENNESS = 0.8  # 0 keeps the components' spread as it is, 1 makes all equal
CODE_NOISE = 0.4  # the decoder learns under noise up to this, in standard deviations of the code
LOG_VARIANCE = -6.0  # what the encoder says of its own certainty

OnStep = Callable[[int, float], None]  # gets the step, from 1, and its loss


@dataclass(frozen=True)
class Code:
    """A closed-form code of pictures; `basis` (48, 8) and `mean` (48,) act on patches scaled to -1..1."""

    basis: Tensor
    mean: Tensor

    def encode(self, pixels: Tensor) -> Tensor:
        """pixels (B, 3, 64, 64) in -1..1 -> (B, 8, 16, 16), standard deviation 1 over all."""
        return ((_patches(pixels) - self.mean) @ self.basis).permute(0, 3, 1, 2)


def _patches(pixels: Tensor) -> Tensor:
    """(B, 3, 64, 64) -> (B, 16, 16, 48)"""
    split = pixels.reshape(-1, 3, GRID, PATCH, GRID, PATCH)
    return split.permute(0, 2, 4, 1, 3, 5).flatten(3)


def fit_code(pixels: Tensor) -> Code:
    """The code of these pictures: pixels (B, 3, 64, 64) in -1..1."""
    patches = _patches(pixels).flatten(0, 2)  # (B * 256, 48)
    mean = patches.mean(0)
    spread, directions = torch.linalg.eigh(torch.cov(patches.T))  # ascending
    basis = directions[:, -CHANNELS:].flip(1) * spread[-CHANNELS:].flip(0) ** (-EVENNESS / 2)
    return Code(basis / ((patches - mean) @ basis).std(), mean)


def draw(scenes: list[Scene]) -> Tensor:
    """Pictures (B, 3, 64, 64) in -1..1."""
    pixels = np.stack([np.asarray(render(scene)) for scene in scenes])
    return torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 127.5 - 1


def weights_near_things(pixels: Tensor) -> Tensor:
    """Weights of a squared error of codes: 4 where a thing is or next to it, 1 elsewhere; scaled to mean 1.

    Args: pixels (B, 3, 64, 64) in -1..1, with a background of one colour. Returns: (B, 1, 16, 16).
    """
    off = (pixels - pixels[:, :, :1, :1]).abs().amax(dim=1, keepdim=True)  # (B, 1, 64, 64), from the corner
    thing = F.max_pool2d((off > 0.1).float(), PATCH)
    weights = 1 + 3 * F.max_pool2d(thing, 3, stride=1, padding=1)
    return weights / weights.mean(dim=(1, 2, 3), keepdim=True)


def build_autoencoder() -> Any:
    """An AutoencoderKL, untrained. Its norms have one group: several forget how light a flat picture is."""
    from diffusers import AutoencoderKL

    autoencoder = AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * 3,
        up_block_types=("UpDecoderBlock2D",) * 3,
        block_out_channels=(16, 32, 64),
        layers_per_block=1,
        latent_channels=CHANNELS,
        norm_num_groups=1,
        sample_size=SIDE,
        scaling_factor=1.0,  # the code's standard deviation is 1 already
        mid_block_add_attention=False,
    )
    return autoencoder.to(memory_format=torch.channels_last)  # a fifth faster on CPUs


@dataclass(frozen=True)
class AutoencoderConfig:
    encoder_steps: int = 1500
    decoder_steps: int = 4000
    batch: int = 16
    learning_rate: float = 4e-3  # at its peak, after a twentieth of the steps


def learn_to_encode(
    autoencoder: Any,
    *,
    pixels: Tensor,
    code: Code,
    config: AutoencoderConfig,
    on_step: OnStep,
) -> None:
    """Train the encoder in place to write the code, and to be a little unsure of it."""
    codes = code.encode(pixels)

    def loss() -> Tensor:
        batch = torch.randint(len(pixels), (config.batch,))
        posterior = autoencoder.encode(pixels[batch]).latent_dist
        certainty = 0.01 * (posterior.logvar - LOG_VARIANCE).square().mean()
        return F.mse_loss(posterior.mean, codes[batch]) + certainty

    learned = [*autoencoder.encoder.parameters(), *autoencoder.quant_conv.parameters()]
    _learn(learned, loss, config.encoder_steps, config.learning_rate, on_step)


def learn_to_decode(
    autoencoder: Any,
    *,
    pixels: Tensor,
    code: Code,
    config: AutoencoderConfig,
    on_step: OnStep,
) -> None:
    """Train the decoder in place to draw from the code under noise, colours and edges alike."""
    codes = code.encode(pixels)

    def loss() -> Tensor:
        batch = torch.randint(len(pixels), (config.batch,))
        noise = CODE_NOISE * torch.rand(config.batch, 1, 1, 1) * torch.randn_like(codes[batch])
        with autocast(), float_norms(autoencoder):
            painted = autoencoder.decode(codes[batch] + noise).sample
        off = painted.float() - pixels[batch]  # (B, 3, H, W)
        return off.abs().mean() + off.diff(dim=2).abs().mean() + off.diff(dim=3).abs().mean()

    learned = [*autoencoder.decoder.parameters(), *autoencoder.post_quant_conv.parameters()]
    _learn(learned, loss, config.decoder_steps, config.learning_rate, on_step)


def _learn(
    parameters: list[Tensor],
    loss: Callable[[], Tensor],
    steps: int,
    learning_rate: float,
    on_step: OnStep,
) -> None:
    optimizer = torch.optim.AdamW(parameters, lr=learning_rate, betas=(0.9, 0.99), weight_decay=0)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, learning_rate, total_steps=steps, pct_start=0.05, cycle_momentum=False
    )
    for step in range(1, steps + 1):
        value = loss()
        optimizer.zero_grad()
        value.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        schedule.step()
        on_step(step, value.item())

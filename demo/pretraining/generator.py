"""Pretrain the small world's generator: `python -m demo.pretraining.generator --to DIR --seed 0`.

Makes a folder that `StableDiffusionPipeline.from_pretrained` loads: AutoencoderKL, UNet2DConditionModel,
CLIPTextModel, CLIPTokenizer and DDIM, with fp16 weights.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

import torch
from torch import Tensor

from demo.pretraining.autoencoder import (
    CHANNELS,
    AutoencoderConfig,
    Code,
    OnStep,
    build_autoencoder,
    draw,
    fit_code,
    learn_to_decode,
    learn_to_encode,
)
from demo.pretraining.denoiser import (
    DenoiserConfig,
    build_scheduler,
    build_text_encoder,
    build_unet,
    learn_to_denoise,
    misstated_caption,
)
from demo.pretraining.tokens import build_tokenizer
from demo.world.captions import Split, split_of
from demo.world.scenes import Scene, caption, random_scene, render

SCENES = 20_000
AUTOENCODED = 10_000  # of the scenes; more do not improve the autoencoder


def draw_scenes(count: int, generator: Random) -> list[Scene]:
    """Scenes whose captions are kept for training generators."""
    scenes: list[Scene] = []
    while len(scenes) < count:
        scene = random_scene(generator)
        if split_of(caption(scene)) is Split.GENERATOR:
            scenes.append(scene)
    return scenes


def pretraining_pairs(folder: Path, count: int, generator: Random) -> Path:
    """Write pictures and their misstated captions, as the generator was trained on, into `folder`.

    ReFL's pre-training loss on these keeps the generator where it is. Returns: `pairs.jsonl`, a line
    {"file", "prompt"} for each picture.
    """
    folder.mkdir(parents=True, exist_ok=True)
    lines = []
    for number, scene in enumerate(draw_scenes(count, generator)):
        file = f"{number:05d}.png"
        render(scene).save(folder / file)
        lines.append(
            json.dumps({"file": file, "prompt": misstated_caption(scene.statement, generator)}) + "\n"
        )
    pairs = folder / "pairs.jsonl"
    pairs.write_text("".join(lines))
    return pairs


def train_generator(
    *,
    scenes: int,
    autoencoding: AutoencoderConfig,
    denoising: DenoiserConfig,
    seed: int,
    on_step: Callable[[str, int, float], None],
) -> Any:
    """Train a StableDiffusionPipeline from nothing.

    1. `draw_scenes` draws the scenes; `fit_code` fixes the latent code of their pictures.
    2. `_train_autoencoder` teaches it to an autoencoder.
    3. `_train_denoiser` trains a UNet and a text encoder on the latents.

    Steps 2 and 3 are seeded apart: each can be repeated without the other.

    Args: on_step: gets the part's name, its step and its loss.
    """
    from diffusers import StableDiffusionPipeline

    drawn_scenes = draw_scenes(scenes, Random(seed))
    batches = [drawn_scenes[start : start + 500] for start in range(0, scenes, 500)]
    pixels = torch.cat([draw(batch) for batch in batches[: AUTOENCODED // 500]])
    code = fit_code(pixels[:2000])
    autoencoder = _train_autoencoder(pixels, code, config=autoencoding, seed=seed, on_step=on_step)
    latents = torch.cat([code.encode(draw(batch)) for batch in batches])
    tokenizer = build_tokenizer()
    unet, text_encoder = _train_denoiser(
        tokenizer, latents, drawn_scenes, config=denoising, seed=seed, on_step=partial(on_step, "denoiser")
    )
    return StableDiffusionPipeline(
        vae=autoencoder.eval(),
        text_encoder=text_encoder.eval(),
        tokenizer=tokenizer,
        unet=unet.eval(),
        scheduler=build_scheduler(),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )


def _train_autoencoder(
    pixels: Tensor,
    code: Code,
    *,
    config: AutoencoderConfig,
    seed: int,
    on_step: Callable[[str, int, float], None],
) -> Any:
    torch.manual_seed(seed)
    autoencoder = build_autoencoder()
    learn_to_encode(autoencoder, pixels=pixels, code=code, config=config, on_step=partial(on_step, "encoder"))
    learn_to_decode(autoencoder, pixels=pixels, code=code, config=config, on_step=partial(on_step, "decoder"))
    return autoencoder


def _train_denoiser(
    tokenizer: Any,
    latents: Tensor,
    scenes: list[Scene],
    *,
    config: DenoiserConfig,
    seed: int,
    on_step: OnStep,
) -> tuple[Any, Any]:
    """Return the UNet and the text encoder."""
    torch.manual_seed(seed)
    unet, text_encoder = build_unet(CHANNELS), build_text_encoder(tokenizer)
    learn_to_denoise(
        unet,
        text_encoder,
        tokenizer,
        latents=latents,
        scenes=scenes,
        config=config,
        generator=Random(seed),
        on_step=on_step,
    )
    return unet, text_encoder


def save(pipeline: Any, folder: Path) -> None:
    """Write the pipeline as half-precision safetensors."""
    pipeline.to(torch.float16).save_pretrained(folder, safe_serialization=True)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--to", type=Path, required=True, help="the folder to write")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--scenes", type=int, default=SCENES, help="drawn for training")
    parser.add_argument("--encoder-steps", type=int, default=AutoencoderConfig.encoder_steps)
    parser.add_argument("--decoder-steps", type=int, default=AutoencoderConfig.decoder_steps)
    parser.add_argument("--denoiser-steps", type=int, default=DenoiserConfig.steps)
    options = parser.parse_args()
    torch.set_num_threads(1)  # at these sizes a second thread mostly waits
    torch.set_flush_denormal(True)
    begun = time.monotonic()

    def report(part: str, step: int, loss: float) -> None:
        if step % 50 == 0:
            print(f"{time.monotonic() - begun:6.0f} s  {part} step {step}  loss {loss:.4f}", flush=True)

    pipeline = train_generator(
        scenes=options.scenes,
        autoencoding=AutoencoderConfig(options.encoder_steps, options.decoder_steps),
        denoising=DenoiserConfig(options.denoiser_steps),
        seed=options.seed,
        on_step=report,
    )
    save(pipeline, options.to)


if __name__ == "__main__":
    main()

"""Pretrain the small world's generator: `python -m demo.pretraining.generator --to DIR --seed 0`.

Makes a folder that `StableDiffusionPipeline.from_pretrained` loads: AutoencoderKL, UNet2DConditionModel,
CLIPTextModel, CLIPTokenizer and DDIM, with fp16 weights.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
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
    build_autoencoder,
    draw,
    fit_code,
    learn_to_decode,
    learn_to_encode,
    weights_near_things,
)
from demo.pretraining.denoiser import (
    DenoiserConfig,
    build_scheduler,
    build_text_encoder,
    build_unet,
    learn_to_denoise,
    misstated_caption,
)
from demo.pretraining.layouts import LayoutConfig, learn_layouts
from demo.pretraining.tokens import build_tokenizer
from demo.world.captions import Split, split_of
from demo.world.scenes import (
    ALONE_RADII,
    FEW_SPOTS,
    PAIR_RADII,
    SIDE,
    Scene,
    caption,
    random_scene,
    render,
)

SCENES = 40_000
AUTOENCODED = 10_000  # of the scenes; more do not improve the autoencoder


@dataclass(frozen=True)
class Lesson:
    """A part of the denoiser's training.

    Attributes: has: whether it shows a scene.
    """

    has: Callable[[Scene], bool]
    config: DenoiserConfig


def is_large_and_alone(scene: Scene) -> bool:
    """A single thing of the largest size, which fits in the middle only."""
    return len(scene.things) == 1 and scene.things[0].radius == max(ALONE_RADII)


def is_pair_on_a_middle_line(scene: Scene) -> bool:
    """Two things of the middle size, on the picture's horizontal or vertical middle line."""
    first, *others = scene.things
    middle = SIDE // 2
    return any(
        first.radius == PAIR_RADII[1] and (first.x == other.x == middle or first.y == other.y == middle)
        for other in others
    )


FIRST = DenoiserConfig(600, word_is_wrong=0.1, hold=0.9, favoured=(400, 1000), favoured_share=1.0)
LESSONS = (
    Lesson(is_large_and_alone, FIRST),
    Lesson(is_pair_on_a_middle_line, replace(FIRST, steps=1200, favoured=(500, 1000))),
    Lesson(lambda scene: True, DenoiserConfig(5000)),
)


def draw_scenes(count: int, generator: Random) -> list[Scene]:
    """Scenes whose captions are kept for training generators, with things at few places.

    With many, a generator this small still draws lumps after 6,000 steps.
    """
    scenes: list[Scene] = []
    while len(scenes) < count:
        scene = random_scene(generator, spots=FEW_SPOTS)
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
    reading: LayoutConfig,
    lessons: Sequence[Lesson],
    seed: int,
    on_step: Callable[[str, int, float], None],
) -> Any:
    """Train a StableDiffusionPipeline from nothing.

    1. `draw_scenes` draws the scenes; `fit_code` fixes the latent code of their pictures.
    2. `_train_autoencoder` teaches it to an autoencoder.
    3. `_train_denoiser` teaches a text encoder what stands where, and then a UNet in lessons to draw.

    Encoder, decoder and each lesson of the denoiser are seeded anew.

    Args: on_step: gets the part's name, its step and its loss.
    """
    from diffusers import StableDiffusionPipeline

    drawn_scenes = draw_scenes(scenes, Random(seed))
    pixels = torch.cat([draw(batch) for batch in _batches(drawn_scenes[:AUTOENCODED])])
    code = fit_code(pixels[:2000])
    autoencoder = _train_autoencoder(pixels, code, config=autoencoding, seed=seed, on_step=on_step)
    tokenizer = build_tokenizer()
    unet, text_encoder = _train_denoiser(
        tokenizer, code, drawn_scenes, reading, lessons, seed=seed, on_step=on_step
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
    torch.manual_seed(seed)
    learn_to_decode(autoencoder, pixels=pixels, code=code, config=config, on_step=partial(on_step, "decoder"))
    return autoencoder


def _train_denoiser(
    tokenizer: Any,
    code: Code,
    scenes: list[Scene],
    reading: LayoutConfig,
    lessons: Sequence[Lesson],
    *,
    seed: int,
    on_step: Callable[[str, int, float], None],
) -> tuple[Any, Any]:
    """Return the UNet and the text encoder, which is trained first and then stays as it is."""
    torch.manual_seed(seed)
    unet, text_encoder = build_unet(CHANNELS), build_text_encoder(tokenizer)
    told = [scene for scene in scenes if is_large_and_alone(scene) or is_pair_on_a_middle_line(scene)]
    learn_layouts(
        text_encoder, tokenizer, scenes=told, config=reading, on_step=partial(on_step, "text encoder")
    )
    for number, lesson in enumerate(lessons):
        torch.manual_seed(seed + number)
        shown = [scene for scene in scenes if lesson.has(scene)]
        parts = [(code.encode(pixels), weights_near_things(pixels)) for pixels in map(draw, _batches(shown))]
        latents, weights = (torch.cat(part) for part in zip(*parts, strict=True))
        learn_to_denoise(
            unet,
            text_encoder,
            tokenizer,
            latents=latents,
            weights=weights,
            scenes=shown,
            config=lesson.config,
            generator=Random(seed + number),
            on_step=partial(on_step, "denoiser"),
        )
    return unet, text_encoder


def _batches(scenes: list[Scene]) -> list[list[Scene]]:
    return [scenes[start : start + 500] for start in range(0, len(scenes), 500)]


def save(pipeline: Any, folder: Path) -> None:
    """Write the pipeline as half-precision safetensors."""
    pipeline.to(torch.float16).save_pretrained(folder, safe_serialization=True)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--to", type=Path, required=True, help="the folder to write")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    torch.set_num_threads(1)  # at these sizes a second thread mostly waits
    torch.set_flush_denormal(True)
    begun = time.monotonic()

    def report(part: str, step: int, loss: float) -> None:
        if step % 50 == 0:
            print(f"{time.monotonic() - begun:6.0f} s  {part} step {step}  loss {loss:.4f}", flush=True)

    pipeline = train_generator(
        scenes=SCENES,
        autoencoding=AutoencoderConfig(),
        reading=LayoutConfig(),
        lessons=LESSONS,
        seed=options.seed,
        on_step=report,
    )
    save(pipeline, options.to)


if __name__ == "__main__":
    main()

"""Images from a Stable Diffusion pipeline, each decided by its own prompt and seed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
import transformers
from PIL import Image


@contextmanager
def _quiet_transformers() -> Iterator[None]:
    """Without torchvision, importing and loading a pipeline warns of a fallback that nothing here uses."""
    before = transformers.logging.get_verbosity()
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    try:
        yield
    finally:
        transformers.logging.set_verbosity(before)
        transformers.logging.enable_progress_bar()


with _quiet_transformers():
    from diffusers import StableDiffusionPipeline
    from diffusers.utils import logging as diffusers_logging


class NotAPipeline(ValueError):
    """No Stable Diffusion pipeline can be read there."""


def load_pipeline(path_or_hub_id: str | Path, device: str | torch.device | None = None) -> Any:
    """A StableDiffusionPipeline in float32, without safety checker, on the device, or the best there is.

    A folder is read without asking the network; a hub id is looked up as HF_HUB_OFFLINE allows.
    Only safetensors are read, never a pickle.

    Raises: NotAPipeline.
    """
    folder = Path(path_or_hub_id)
    if folder.is_absolute() and not folder.is_dir():
        raise NotAPipeline(f"{folder}: no such folder")
    if folder.is_dir() and not (folder / "model_index.json").is_file():
        raise NotAPipeline(f"{folder}: no model_index.json in it")
    diffusers_logging.disable_progress_bar()
    try:
        with _quiet_transformers():
            pipeline = StableDiffusionPipeline.from_pretrained(
                str(path_or_hub_id),
                safety_checker=None,
                feature_extractor=None,
                image_encoder=None,
                requires_safety_checker=False,
                dtype=torch.float32,
                use_safetensors=True,
                local_files_only=folder.is_dir(),
            )
    except (OSError, ValueError) as error:
        raise NotAPipeline(f"{path_or_hub_id}: {error}") from error
    finally:
        diffusers_logging.enable_progress_bar()
    pipeline.set_progress_bar_config(disable=True)
    return pipeline.to(device or ("cuda" if torch.cuda.is_available() else "cpu"))


def sample(
    pipeline: Any,
    prompts: Sequence[str],
    seeds: Sequence[int],
    *,
    steps: int,
    guidance_scale: float,
    batch_size: int,
) -> Iterator[Image.Image]:
    """One image for each prompt with its seed, in order.

    An image depends on its own prompt and seed only, not on what shares its batch or on the batch size
    (up to rounding: a value in a hundred may differ by 1 of 255).

    Args:
        seeds: one for each prompt, of the noise it starts from.
        steps: of the pipeline's own scheduler.
        guidance_scale: 1 is none.
    Raises: ValueError when there are not as many seeds as prompts.
    """
    asked = list(zip(prompts, seeds, strict=True))
    return _sampled(pipeline, asked, batch_size, num_inference_steps=steps, guidance_scale=guidance_scale)


def _sampled(
    pipeline: Any, asked: list[tuple[str, int]], batch_size: int, **settings: float
) -> Iterator[Image.Image]:
    for start in range(0, len(asked), batch_size):
        batch = asked[start : start + batch_size]
        generators = [torch.Generator().manual_seed(seed) for _, seed in batch]
        yield from pipeline([prompt for prompt, _ in batch], generator=generators, **settings).images


def grid(images: Sequence[Image.Image], columns: int) -> Image.Image:
    """The images row by row, two pixels apart, on white; all have the size of the first."""
    width, height = (side + 2 for side in images[0].size)
    rows = -(-len(images) // columns)
    sheet = Image.new("RGB", (width * columns - 2, height * rows - 2), "white")
    for index, image in enumerate(images):
        sheet.paste(image, (width * (index % columns), height * (index // columns)))
    return sheet

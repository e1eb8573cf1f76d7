"""Loading a pipeline by the family it belongs to."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from pkgutil import resolve_name

import torch
import transformers

from refl.learning.families import FAMILIES, Family, NotAPipeline


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
    from diffusers import DiffusionPipeline
    from diffusers.utils import logging as diffusers_logging


def load_family(path_or_hub_id: str | Path, device: str | torch.device | None = None) -> Family:
    """Load a pipeline in float32, without safety checker, to the device, or the best there is.

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
            family = _family_of(folder).load(
                str(path_or_hub_id),
                dtype=torch.float32,
                use_safetensors=True,
                local_files_only=folder.is_dir(),
            )
    except (OSError, ValueError) as error:
        raise NotAPipeline(f"{path_or_hub_id}: {error}") from error
    finally:
        diffusers_logging.enable_progress_bar()
    family.pipeline.set_progress_bar_config(disable=True)
    family.pipeline.to(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    return family


def _family_of(folder: Path) -> type[Family]:
    """Return the family of the class that the folder's model_index.json names.

    A class that no family names is tried as Stable Diffusion, since diffusers' image-to-image class, for one,
    has the same parts; so is a hub id, of which nothing is known before it is loaded.
    """
    index = DiffusionPipeline.load_config(folder, local_files_only=True) if folder.is_dir() else {}
    default = FAMILIES["StableDiffusionPipeline"]
    family: type[Family] = resolve_name(FAMILIES.get(index.get("_class_name", ""), default))
    return family

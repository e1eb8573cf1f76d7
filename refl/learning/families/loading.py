"""Loading a pipeline by the family it belongs to."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from pkgutil import resolve_name
from typing import Any

import torch
import transformers
from torch import nn

from refl.learning.families import Family, NotAPipeline
from refl.learning.families.forms import FORMS
from refl.learning.families.hub import fetch_repository, is_hub_id, no_such_folder
from refl.learning.families.inspection import Inspection, inspect_pipeline
from refl.learning.families.lora import fuse_lora
from refl.learning.families.weight_files import Network
from rewardmodel.learning.quiet import quiet

NAMED = 3  # tensors that a refusal names

with quiet(transformers.logging):  # without torchvision it warns of a fallback that nothing here uses
    import diffusers
    from diffusers.utils import logging as diffusers_logging

# What they would warn of is refused here, in one line.
LIBRARIES = (transformers.logging, diffusers_logging)


def load_family(
    path_or_hub_id: str | Path,
    device: str | torch.device | None = None,
    *,
    loras: Sequence[Path] = (),
) -> Family:
    """Load a pipeline in float32, without safety checker, to the device, or the best there is.

    It is looked at first, with all its tensors by name and shape, so that none is ever random numbers. A
    folder is read without asking the network; a hub id is looked up as HF_HUB_OFFLINE allows. Only
    safetensors are read, never a pickle.

    Args: loras: files that are added to its weights, in order.
    Raises: NotAPipeline; NotALoRA; HubUnreachable.
    """
    folder = _find_folder(str(path_or_hub_id))
    inspection = check_pipeline(folder, name=str(path_or_hub_id))
    options: dict[str, Any] = {"dtype": torch.float32, "use_safetensors": True, "local_files_only": True}
    with quiet(*LIBRARIES):
        networks = {
            network.component: _network_class(network).from_pretrained(
                folder, subfolder=network.component, variant=network.variant, **options
            )
            for network in inspection.networks
        }
        family: Family = resolve_name(inspection.family).load(str(folder), **networks, **options)
    for component, network in networks.items():
        _check_finite(f"{inspection.name}: {component}", network)
    with quiet(*LIBRARIES):
        for file in loras:
            fuse_lora(family, file)
    family.pipeline.set_progress_bar_config(disable=True)
    family.pipeline.to(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    return family


def check_pipeline(folder: Path, *, name: str | None = None) -> Inspection:
    """Look at a pipeline as `inspect_pipeline` does, and make all its parts without reading their weights.

    Raises: NotAPipeline, also where a network's files lack a tensor, or hold one that it does not know.
    """
    inspection = inspect_pipeline(folder, name=name)
    with quiet(*LIBRARIES):
        index = diffusers.DiffusionPipeline.load_config(folder)
        for network in inspection.networks:
            with _refusing(f"{inspection.name}: {network.component}"):
                _check_tensors(folder, network)
        for component in (*FORMS[inspection.class_name].without_null(index).tokenizers, "scheduler"):
            with _refusing(f"{inspection.name}: {component}"):
                library, class_name = index[component]
                made_by = {"diffusers": diffusers, "transformers": transformers}[library]
                getattr(made_by, class_name).from_pretrained(
                    folder, subfolder=component, local_files_only=True
                )
    return inspection


@contextmanager
def _refusing(what: str) -> Iterator[None]:
    """Whatever the libraries raise when they make a part from its files, the files are at fault.

    They raise errors of every class, tokenizers the bare Exception.
    """
    try:
        yield
    except NotAPipeline as error:
        raise NotAPipeline(f"{what}: {error}") from error
    except Exception as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise NotAPipeline(f"{what}: diffusers cannot make it from its files ({reason})") from error


def _check_tensors(folder: Path, network: Network) -> None:
    """Raises: NotAPipeline where weights are missing, not known, or of another shape."""
    _, report = _network_class(network).from_pretrained(
        folder,
        subfolder=network.component,
        variant=network.variant,
        use_safetensors=True,
        local_files_only=True,
        device_map="meta",
        ignore_mismatched_sizes=True,
        output_loading_info=True,
    )
    mismatched = [
        f"{name} {tuple(file)} in place of {tuple(model)}" for name, file, model in report["mismatched_keys"]
    ]
    for names, fault in (
        (report["missing_keys"], "lacks"),
        (mismatched, "has, in other shapes than its configuration says,"),
        (report["unexpected_keys"], "has, and its configuration does not ask for,"),
    ):
        if names:
            more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
            files = network.files[0]
            raise NotAPipeline(
                f"{files.rpartition('/')[2]} {fault} {', '.join(sorted(names)[:NAMED])}{more}; fetch or save "
                "weights and configuration again, together"
            )


def _check_finite(what: str, network: nn.Module) -> None:
    for name, tensor in network.state_dict().items():
        if not tensor.isfinite().all():
            raise NotAPipeline(f"{what}: {name} is not finite: fetch or save the weights again")


def _network_class(network: Network) -> Any:
    return getattr(
        {"diffusers": diffusers, "transformers": transformers}[network.library], network.class_name
    )


def _find_folder(text: str) -> Path:
    if Path(text).is_dir():
        return Path(text)
    if not is_hub_id(text):
        raise no_such_folder(text)
    return fetch_repository(text)

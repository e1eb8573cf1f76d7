"""A pipeline looked at before it is loaded: whether it can be sampled and tuned, and if not, why. No torch.

Read are model_index.json, the components' configurations, vocabularies, and the headers of weights.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from refl.learning.families import FAMILIES, NotAPipeline
from refl.learning.families.folders import PipelineFolder
from refl.learning.families.forms import DIFFUSION_SCHEDULERS, FORMS, Form
from refl.learning.families.vocabularies import check_tokenizer
from refl.learning.families.weight_files import PICKLES, STEMS, Network, check_network, find_network

INDEX = "model_index.json"
SINGLE_FILES = (".safetensors", ".gguf", *PICKLES)
# What diffusers imports for a scheduler, and need not be installed.
PACKAGES = {"LMSDiscreteScheduler": "scipy", "DPMSolverSDEScheduler": "torchsde"}
FROM_SINGLE_FILE = (
    "a single file is not read; make a folder of it once: "
    "StableDiffusionPipeline.from_single_file(FILE).save_pretrained(FOLDER)"
)


@dataclass(frozen=True)
class Inspection:
    """What a pipeline is.

    Attributes:
        name: the folder or hub id.
        family: as `pkgutil.resolve_name` takes it.
        channels: of its latents.
        prediction_type: what its denoiser predicts; None where its family has one kind only.
    """

    name: str
    class_name: str
    family: str
    networks: tuple[Network, ...]
    scheduler: str
    channels: int
    prediction_type: str | None

    def __str__(self) -> str:
        variants = sorted({network.variant for network in self.networks if network.variant})
        words = [
            self.class_name,
            self.scheduler,
            self.prediction_type,
            f"{self.channels} channels",
            *variants,
        ]
        return ", ".join(filter(None, words))


def inspect_pipeline(
    folder: Path, *, name: str | None = None, files: Collection[str] | None = None
) -> Inspection:
    """Say what the pipeline in the folder is, if it can be loaded, sampled and tuned.

    Args:
        name: what errors call it, the folder by default.
        files: all that belong to it, where the folder has its configurations and vocabularies only; headers
            of weights are then not read.
    Raises: NotAPipeline, a line that names the file or field, and what would help.
    """
    contents = PipelineFolder(folder, name, files)
    index = _read_index(contents)
    form = FORMS[index["_class_name"]].without_null(index)
    _check_classes(contents, index, form)
    scheduler = _read_scheduler(contents, index["scheduler"][1], form)
    configs = {
        "scheduler": scheduler,
        **{component: _read_config(contents, component) for component in form.networks},
    }
    for component, fault in form.faults(configs):
        raise contents.fault(_config_file(component), fault)
    for tokenizer, encoder in form.tokenizers.items():
        check_tokenizer(contents, tokenizer, encoder, configs[encoder])
    networks = tuple(find_network(contents, component, *index[component]) for component in form.networks)
    if contents.is_whole:
        for network in networks:
            check_network(contents, network)
    is_diffusion = index["scheduler"][1] in DIFFUSION_SCHEDULERS
    return Inspection(
        name=contents.name,
        class_name=index["_class_name"],
        family=FAMILIES[index["_class_name"]],
        networks=networks,
        scheduler=index["scheduler"][1],
        channels=configs["vae"].get("latent_channels", 4),
        prediction_type=scheduler.get("prediction_type", "epsilon") if is_diffusion else None,
    )


def _read_index(contents: PipelineFolder) -> dict[str, Any]:
    if INDEX not in contents.files:
        raise NotAPipeline(f"{contents.name}: no {INDEX} in it: {_what_it_is(contents)}")
    index = contents.read_json(INDEX)
    class_name = index.get("_class_name")
    if class_name not in FORMS:
        raise contents.fault(INDEX, f"{class_name} is of no family known here; there are {', '.join(FORMS)}")
    return index


def _what_it_is(contents: PipelineFolder) -> str:
    """Say what a folder without model_index.json may have been taken for."""
    inner = sorted(file for file in contents.files if file.endswith(f"/{INDEX}"))
    single = sorted(file for file in contents.files if "/" not in file and file.endswith(SINGLE_FILES))
    if inner:
        return f"name the folder {inner[0].removesuffix(f'/{INDEX}')} in it, which has one"
    if "config.json" in contents.files:
        return "it holds a single model; name the folder of the whole pipeline"
    if single:
        return f"{single[0]}: {FROM_SINGLE_FILE}"
    return "name a folder that save_pretrained of a diffusers pipeline wrote"


def _check_classes(contents: PipelineFolder, index: dict[str, Any], form: Form) -> None:
    for component in (*form.networks, *form.tokenizers, "scheduler"):
        match index.get(component):
            case [str(library), str(class_name)]:
                wanted = form.networks.get(component, (class_name,))
                if class_name not in wanted or (component in form.networks and library not in STEMS):
                    raise contents.fault(INDEX, f"{component} is {class_name}; wanted {' or '.join(wanted)}")
            case _:
                raise contents.fault(INDEX, f"{component} is left out: save the pipeline with all its parts")


def _read_config(contents: PipelineFolder, component: str) -> dict[str, Any]:
    config = contents.read_json(_config_file(component))
    if "quantization_config" in config:
        fault = "quantization_config: quantised weights cannot be tuned; use plain ones"
        raise contents.fault(_config_file(component), fault)
    return config


def _read_scheduler(contents: PipelineFolder, class_name: str, form: Form) -> dict[str, Any]:
    config = contents.read_json(_config_file("scheduler"))
    if class_name not in form.schedulers:
        fault = f"scheduler is {class_name}, of another kind of noise; save the pipeline with {form.example}"
        raise contents.fault(INDEX, fault)
    package = PACKAGES.get(class_name) or ("scipy" if config.get("use_beta_sigmas") else None)
    if package and find_spec(package) is None:
        raise contents.fault(
            _config_file("scheduler"),
            f"{class_name} needs {package}, which is not installed: `pip install {package}`, or save the "
            f"pipeline with another, such as {form.example}",
        )
    return config


def _config_file(component: str) -> str:
    return f"{component}/{'scheduler_config' if component == 'scheduler' else 'config'}.json"

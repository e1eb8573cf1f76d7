"""Published models and baselines by name: where their files lie, and how they are fetched."""

from __future__ import annotations

import json
from http.client import HTTPException
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from rewardmodel.learning.addresses import ALTERNATIVES, BASELINES, CLIP, MODELS
from rewardmodel.learning.checkpoints import hub
from rewardmodel.learning.errors import CheckpointError

ROOT = Path("~/.cache/ImageReward")  # the published package's: what it fetched is found
# BLIP's names of the text encoder's settings -> ours. The width of the image encoder it takes from that one.
TEXT_SETTINGS = {
    "hidden_size": "width",
    "num_hidden_layers": "layers",
    "num_attention_heads": "heads",
    "intermediate_size": "feed_forward",
    "vocab_size": "vocabulary",
    "max_position_embeddings": "positions",
    "layer_norm_eps": "norm_eps",
}


def locate(name: str | Path, root: str | Path | None = None) -> str | Path:
    """Return what `checkpoints.load` takes: a published file, or the name. Raises: CheckpointError."""
    return fetch(name, root) if isinstance(name, str) and name in MODELS else name


def fetch(name: str, root: str | Path | None = None) -> Path:
    """Return the file of a published model: as it lies in the root, else fetched into it, with progress.

    Raises: CheckpointError that says what to fetch and where to put it.
    """
    repository, file, commit = MODELS[name]
    folder = _folder(root)
    if (folder / file).is_file():
        return folder / file
    from httpx2 import HTTPError
    from huggingface_hub import hf_hub_download

    try:
        return Path(hf_hub_download(repository, file, revision=commit, local_dir=folder))
    except (OSError, ValueError, HTTPError) as error:
        raise CheckpointError(
            f"{name}: the hub did not give it ({error}); "
            f"fetch https://huggingface.co/{repository}/resolve/{commit}/{file} and put it at {folder / file}"
        ) from error


def fetch_clip(root: str | Path | None = None) -> Path:
    """Return the folder of the baselines' CLIP: as it lies in the root, else from the hub or its cache.

    Raises: CheckpointError that says what to fetch and where to put it.
    """
    name, hub_id = CLIP
    folder = _folder(root) / name
    if folder.is_dir():
        return folder
    try:
        return hub.fetch(hub_id)
    except CheckpointError as error:
        raise CheckpointError(
            f"{folder}: no such folder, and the hub did not give it ({error}); fetch config.json, "
            "model.safetensors, preprocessor_config.json, tokenizer.json and tokenizer_config.json of "
            f"https://huggingface.co/{hub.split_revision(hub_id)[0]} and put them into {folder}"
        ) from error


def fetch_baseline(name: str, root: str | Path | None = None) -> Path:
    """Return the file of a baseline's own: as it lies in the root, else fetched into it, with progress.

    Raises: CheckpointError that says what to fetch and where to put it.
    """
    import torch

    address, folder = BASELINES[name], _folder(root)
    as_fetched = address.rpartition("/")[2]  # the published package keeps it under this name
    file = folder / unquote(as_fetched)
    for path in (file, folder / as_fetched, *(folder / other for other in ALTERNATIVES.get(name, ()))):
        if path.is_file():
            return path
    try:
        folder.mkdir(parents=True, exist_ok=True)
        torch.hub.download_url_to_file(address, str(file))
    except (OSError, HTTPException) as error:
        raise CheckpointError(
            f"{file}: no such file, and it was not to be had ({error}); fetch {address} and put it there"
        ) from error
    return file


def _folder(root: str | Path | None) -> Path:
    return ROOT.expanduser() if root is None else Path(root)


def check_text_settings(file: Path, backbone: Any) -> None:
    """Check that settings in BLIP's form are those of the model.

    Args: backbone: the config of the model that was loaded.
    Raises: CheckpointError that lists what differs.
    """
    try:
        settings = json.loads(file.read_text(encoding="utf-8"))
        values = {ours: settings[theirs] for theirs, ours in TEXT_SETTINGS.items() if theirs in settings}
        activation = settings.get("hidden_act", "gelu")
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise CheckpointError(
            f"{file}: cannot be read as settings of BLIP's text encoder ({error})"
        ) from error
    text = getattr(backbone, "text", None)
    wrong = [
        f"{name} is {getattr(text, name, 'no setting')}, not {value}"
        for name, value in values.items()
        if getattr(text, name, None) != value
    ]
    if activation != "gelu":
        wrong.append(f"the activation is gelu, not {activation}")
    if wrong:
        raise CheckpointError(f"{file}: the model has another text encoder: {'; '.join(wrong)}")

"""Published models by name: where their files lie, and how they are fetched."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from rewardmodel.learning.checkpoints import CheckpointError

MODELS = {"ImageReward-v1.0": ("THUDM/ImageReward", "ImageReward.pt")}
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
    """What `checkpoints.load` reads: a published model's file, or the name. Raises: CheckpointError."""
    return fetch(name, root) if isinstance(name, str) and name in MODELS else name


def fetch(name: str, root: str | Path | None = None) -> Path:
    """The file of a published model: as it lies in the root, else fetched into it, with progress.

    Raises: CheckpointError that says what to fetch and where to put it.
    """
    repository, file = MODELS[name]
    folder = ROOT.expanduser() if root is None else Path(root)
    if (folder / file).is_file():
        return folder / file
    from huggingface_hub import hf_hub_download

    try:
        return Path(hf_hub_download(repository, file, local_dir=folder))
    except (OSError, ValueError) as error:
        raise CheckpointError(
            f"{name}: the hub did not give it ({error}); "
            f"fetch https://huggingface.co/{repository}/resolve/main/{file} and put it at {folder / file}"
        ) from error


def check_text_settings(file: Path, backbone: Any) -> None:
    """Let settings in BLIP's form stand only for a model of that form.

    Args: backbone: the shape of the model that was loaded.
    Raises: CheckpointError that lists what differs.
    """
    try:
        settings = json.loads(file.read_text(encoding="utf-8"))
        given = {ours: settings[theirs] for theirs, ours in TEXT_SETTINGS.items() if theirs in settings}
        activation = settings.get("hidden_act", "gelu")
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise CheckpointError(
            f"{file}: cannot be read as settings of BLIP's text encoder ({error})"
        ) from error
    text = getattr(backbone, "text", None)
    wrong = [
        f"{name} is {getattr(text, name, 'no setting')}, not {value}"
        for name, value in given.items()
        if getattr(text, name, None) != value
    ]
    if activation != "gelu":
        wrong.append(f"the activation is gelu, not {activation}")
    if wrong:
        raise CheckpointError(f"{file}: the model has another text encoder: {'; '.join(wrong)}")

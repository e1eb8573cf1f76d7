"""Checkpoints from the Hugging Face hub, or from its cache where there is no network."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from rewardmodel.learning.errors import CheckpointError

TEXTS = ("*.json", "vocab.txt", "merges.txt", "*.model")  # configs and tokenizers
SNAPSHOTS = "snapshots"  # of the hub's cache: a folder for each commit, named by it
PUBLISHED = (".pt", ".pth", ".bin")


def is_id(text: str) -> bool:
    """Whether it is `owner/name`, or `owner/name/file` where the repository holds several models.

    A revision of the repository may stand behind it: `owner/name@revision`.
    """
    return re.fullmatch(r"\w[\w.-]*/[\w.-]+(/[\w.-]+)?(@\w[\w./-]*)?", text) is not None


def split_revision(hub_id: str) -> tuple[str, str | None]:
    """Return what stands before `@`, and the revision behind it, if any."""
    name, _, revision = hub_id.partition("@")
    return name, revision or None


def pin(hub_id: str) -> str:
    """Return the id with the commit that `fetch` gives now: what it names stays the same.

    Raises: CheckpointError, as `fetch` does.
    """
    path = fetch(hub_id)
    commits = [folder.name for folder in path.parents if folder.parent.name == SNAPSHOTS]
    commit = path.name if path.parent.name == SNAPSHOTS else commits[0]
    return f"{split_revision(hub_id)[0]}@{commit}"


def fetch(hub_id: str) -> Path:
    """Return the folder or, when the id names one, the file; progress is shown.

    Raises: CheckpointError saying what to fetch by hand and where to put it.
    """
    from httpx2 import HTTPError
    from huggingface_hub import HfApi, snapshot_download

    unpinned, revision = split_revision(hub_id)
    owner, name, *file = unpinned.split("/")
    repository = f"{owner}/{name}"
    try:
        patterns = choose(HfApi().list_repo_files(repository, revision=revision), file[0] if file else None)
        folder = Path(snapshot_download(repository, revision=revision, allow_patterns=[*patterns, *TEXTS]))
    except CheckpointError as error:
        raise CheckpointError(f"{repository}: {error}") from error
    except (OSError, ValueError, HTTPError) as unreachable:  # a connection refused is no OSError there
        try:
            folder = Path(snapshot_download(repository, revision=revision, local_files_only=True))
        except (OSError, ValueError):
            raise CheckpointError(_by_hand(repository, file, unreachable)) from unreachable
    if file and not (folder / file[0]).is_file():
        raise CheckpointError(f"{repository}: has no {file[0]}")
    return folder / file[0] if file else folder


def choose(files: Sequence[str], file: str | None) -> list[str]:
    """Choose the files of a repository that hold the weights: safetensors before pickles.

    Args: file: the one that is named, if any.

    Raises: CheckpointError when there are none, or several and none is named.
    """
    if file is not None:
        return [file]
    if "model.safetensors" in files:
        return ["model.safetensors"]
    candidates = [name for name in files if name.endswith(PUBLISHED) and "/" not in name]
    if len(candidates) != 1:
        contents = ", ".join(candidates) or "no weights"
        raise CheckpointError(f"the repository holds {contents}; name one, as owner/name/file")
    return candidates


def _by_hand(repository: str, file: Sequence[str], reason: Exception) -> str:
    weights = file[0] if file else "config.json, model.safetensors (or the .pt it publishes)"
    return (
        f"{repository}: no such folder, and the hub did not give it ({reason}); put {weights} and the "
        f"tokenizer's files from https://huggingface.co/{repository} into a folder and name that"
    )

"""Pipelines by name: which names are hub ids, and how one is looked up and fetched. No torch."""

from __future__ import annotations

import re
from pathlib import Path

from refl.learning.families import NotAPipeline
from refl.learning.families.inspection import FROM_SINGLE_FILE, SINGLE_FILES, Inspection, inspect_pipeline
from refl.learning.families.saving import CARRIED

SMALL = ("*.json", "*/merges.txt", "*/spiece.model")  # configurations, indexes and vocabularies


class HubUnreachable(OSError):
    """The hub does not answer and its cache does not have the repository; another try may succeed."""


def is_hub_id(text: str) -> bool:
    """Whether it is `owner/name`, with `@revision` behind it or not, and does not look like a file."""
    name = text.partition("@")[0]
    return not name.endswith(SINGLE_FILES) and bool(
        re.fullmatch(r"\w[\w.-]*/\w[\w.-]*(@\w[\w./-]*)?", text, re.ASCII)
    )


def no_such_folder(text: str) -> NotAPipeline:
    """Say why the text names no pipeline: it is neither a folder nor a hub id."""
    if Path(text).is_file() or text.endswith(SINGLE_FILES):
        return NotAPipeline(f"{text}: {FROM_SINGLE_FILE}")
    return NotAPipeline(f"{text}: no such folder, and a hub id is owner/name or owner/name@revision")


def inspect_repository(hub_id: str) -> Inspection:
    """Look at a repository, on the hub without fetching its weights, or in the cache where it was fetched.

    Raises: NotAPipeline; HubUnreachable.
    """
    repository, revision = _split(hub_id)
    from httpx2 import HTTPError
    from huggingface_hub import HfApi, snapshot_download
    from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError, RevisionNotFoundError

    try:
        files = HfApi().list_repo_files(repository, revision=revision)
        folder = snapshot_download(repository, revision=revision, allow_patterns=[*SMALL])
    except GatedRepoError as error:
        raise NotAPipeline(
            f"{hub_id}: its owner wants consent; give it at https://huggingface.co/{repository} "
            "and set HF_TOKEN"
        ) from error
    except (RepositoryNotFoundError, RevisionNotFoundError) as error:
        raise NotAPipeline(
            f"{hub_id}: no such folder, and the hub has no such repository or revision, or hides it: "
            "correct the name, or set HF_TOKEN"
        ) from error
    except (OSError, HTTPError) as error:  # a connection refused is no OSError there
        cached = _cached_repository(repository, revision)
        if cached is None:
            raise HubUnreachable(f"{hub_id}: the hub does not answer ({error})") from error
        return inspect_pipeline(cached, name=hub_id)
    return inspect_pipeline(Path(folder), name=hub_id, files=files)


def fetch_repository(hub_id: str) -> Path:
    """Return the folder of the pipeline's files, from the hub or its cache; progress is shown.

    Raises: NotAPipeline; HubUnreachable.
    """
    repository, revision = _split(hub_id)
    from huggingface_hub import constants, snapshot_download

    try:
        inspection = inspect_repository(hub_id)
    except HubUnreachable as error:
        if not constants.HF_HUB_OFFLINE:
            raise
        raise NotAPipeline(
            f"{hub_id}: no such folder, and the hub is not asked while HF_HUB_OFFLINE is set; unset "
            f"that, or fetch https://huggingface.co/{repository} into a folder and name the folder"
        ) from error
    weights = [file for network in inspection.networks for file in network.files]
    carried = [f"{component}/*.safetensors" for component in CARRIED]
    return Path(snapshot_download(repository, revision=revision, allow_patterns=[*SMALL, *weights, *carried]))


def pinned(hub_id: str) -> str:
    """Return the id with the commit that was looked at: what it names stays the same.

    It comes as it is where nothing of the repository lies in the hub's cache.
    """
    from huggingface_hub import snapshot_download

    repository, revision = _split(hub_id)
    try:
        folder = snapshot_download(repository, revision=revision, local_files_only=True)
    except (OSError, ValueError):
        return hub_id
    return f"{repository}@{Path(folder).name}"


def _cached_repository(repository: str, revision: str | None) -> Path | None:
    """Return the folder of what was fetched before, if its weights were."""
    from huggingface_hub import snapshot_download

    try:
        folder = Path(snapshot_download(repository, revision=revision, local_files_only=True))
    except (OSError, ValueError):
        return None
    return folder if any(folder.glob("*/*.safetensors")) else None


def _split(hub_id: str) -> tuple[str, str | None]:
    repository, _, revision = hub_id.partition("@")
    return repository, revision or None

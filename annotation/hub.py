"""Folders to and from a hub that speaks Hugging Face's protocol: HF_ENDPOINT, with HF_TOKEN."""

from __future__ import annotations

import re
from pathlib import Path

REPOSITORY = re.compile(r"\w[\w.-]*/\w[\w.-]*")
LICENCE = re.compile(r"[a-z0-9][a-z0-9.+-]*")  # as the Hub names them: cc-by-4.0, apache-2.0, other


class HubRefused(Exception):
    """The hub did not take or give it; the message says why, in a line."""


def check_repository(repository: str) -> None:
    """Raises: HubRefused unless it is OWNER/NAME."""
    if not REPOSITORY.fullmatch(repository):
        raise HubRefused(f"{repository!r} is no OWNER/NAME")


def check_licence(licence: str) -> None:
    """Raises: HubRefused unless it may be the Hub's name of a licence."""
    if not LICENCE.fullmatch(licence):
        raise HubRefused(
            f"{licence!r} is no name of a licence as the Hub has them, such as cc-by-4.0 or other"
        )


def push_folder(folder: Path, *, repository: str, kind: str, is_public: bool, message: str) -> str:
    """Upload the folder as one commit to the repository, which is made if need be; return its address.

    What else the repository has is removed in that commit. Files that are there already are not sent again:
    what broke off is gone on with.

    Args:
        kind: "dataset" or "model".
        is_public: whether it may be read by everybody; only then is a public repository written to.
    Raises: HubRefused.
    """
    from httpx2 import HTTPError
    from huggingface_hub import HfApi

    check_repository(repository)
    hub = HfApi()
    try:
        hub.create_repo(repository, repo_type=kind, private=not is_public, exist_ok=True)
        if not is_public and not hub.repo_info(repository, repo_type=kind).private:
            raise HubRefused(f"{repository}: is public already: --public writes to it all the same")
        commit = hub.upload_folder(
            repo_id=repository,
            repo_type=kind,
            folder_path=folder,
            commit_message=message,
            delete_patterns="*",  # parts of an earlier push would be read along with these
        )
    except (OSError, ValueError, HTTPError) as error:
        raise HubRefused(f"{repository}: the hub did not take it ({_in_a_line(error)})") from None
    return commit.commit_url


def pull_folder(*, repository: str, revision: str | None, kind: str, into: Path) -> None:
    """Download the repository's files into the folder. Raises: HubRefused."""
    from httpx2 import HTTPError
    from huggingface_hub import HfApi

    check_repository(repository)
    hub = HfApi()
    try:
        hub.snapshot_download(repository, repo_type=kind, revision=revision, local_dir=into)
    except (OSError, ValueError, HTTPError) as error:
        raise HubRefused(f"{repository}: the hub did not give it ({_in_a_line(error)})") from None


def with_licence(card: str, licence: str) -> str:
    """Return the card, whose YAML says the licence."""
    return card.replace("---\n", f"---\nlicense: {licence}\n", 1)


def _in_a_line(error: Exception) -> str:
    return " ".join(str(error).split())[:300]

"""Tokenizers that published weights were trained with and that do not come in the same file."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from rewardmodel.learning.errors import CheckpointError

# Repositories, and the commits that are taken of them.
BERT = ("google-bert/bert-base-uncased", "86b5e0934494bd15c9632b12f734a8a67f723594")
CLIP = ("openai/clip-vit-large-patch14", "32bd64288804d66eefd0ccbe215aa642df71cc41")
ADDED = 2  # [DEC] and [ENC], behind BERT's own words
ANY = ("tokenizer.json",)


def load_tokenizer(name: str, folder: Path, vocabulary: int) -> Any:
    """Return the tokenizer of this name (bert, clip, own): from the folder, else from the hub or its cache.

    Args: vocabulary: how many tokens the model knows.
    Raises: CheckpointError saying what to fetch and where to put it.
    """
    return {"bert": _bert, "clip": _clip, "own": _own}[name](folder, vocabulary)


def _bert(folder: Path, vocabulary: int) -> Any:
    """BERT's, with BLIP's [DEC] and [ENC]."""
    from transformers import BertTokenizer

    source = _find_source(folder, BERT, (ANY, ("vocab.txt",)))
    if (source / "tokenizer.json").is_file():
        tokenizer = BertTokenizer.from_pretrained(source)
    else:
        words = (source / "vocab.txt").read_text(encoding="utf-8").splitlines()
        tokenizer = BertTokenizer(vocab={word: number for number, word in enumerate(words)})
    if len(tokenizer) == vocabulary - ADDED:
        tokenizer.add_special_tokens({"bos_token": "[DEC]"})
        tokenizer.add_special_tokens({"additional_special_tokens": ["[ENC]"]})
    _check_size(tokenizer, vocabulary, source)
    return tokenizer


def _clip(folder: Path, vocabulary: int) -> Any:
    from transformers import AutoTokenizer, CLIPTokenizer

    source = _find_source(folder, CLIP, (ANY, ("vocab.json", "merges.txt")))
    complete = (source / "tokenizer.json").is_file() and (source / "tokenizer_config.json").is_file()
    tokenizer = (AutoTokenizer if complete else CLIPTokenizer).from_pretrained(source)
    _check_size(tokenizer, vocabulary, source)
    return tokenizer


def _own(folder: Path, vocabulary: int) -> Any:
    """The one that lies beside the weights, there being no other for them."""
    from transformers import AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    except (OSError, ValueError, ImportError, KeyError) as error:
        raise CheckpointError(
            f"{folder}: its tokenizer cannot be read ({error}); fetch tokenizer.json and "
            "tokenizer_config.json of the model and put them there"
        ) from error
    if len(tokenizer) > vocabulary:
        raise CheckpointError(f"{folder}: its tokenizer has {len(tokenizer)} tokens, not {vocabulary}")
    return tokenizer


def _find_source(folder: Path, pinned: tuple[str, str], sets: tuple[tuple[str, ...], ...]) -> Path:
    """Return the folder that has one of the sets of files.

    Args: pinned: where else it is, a repository and its commit.
    Raises: CheckpointError.
    """
    hub_id, commit = pinned
    if any(all((folder / name).is_file() for name in names) for names in sets):
        return folder
    from httpx2 import HTTPError
    from huggingface_hub import snapshot_download

    patterns = sorted({name for names in sets for name in names} | {"tokenizer_config.json"})
    try:
        source = Path(snapshot_download(hub_id, revision=commit, allow_patterns=patterns))
    except (OSError, ValueError, HTTPError) as error:
        reason = str(error).partition(os.linesep)[0]
    else:
        if any(all((source / name).is_file() for name in names) for names in sets):
            return source
        reason = "the hub's cache has not all of them"
    either = " or ".join(" and ".join(names) for names in sets)
    raise CheckpointError(
        f"{folder}: no tokenizer beside the weights, and the hub did not give one ({reason}); fetch {either} "
        f"of https://huggingface.co/{hub_id} and put it into {folder}"
    )


def _check_size(tokenizer: Any, vocabulary: int, source: Path) -> None:
    if len(tokenizer) != vocabulary:
        raise CheckpointError(
            f"{source}: its tokenizer has {len(tokenizer)} tokens; the weights are for {vocabulary}"
        )

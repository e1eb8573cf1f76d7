"""What a run learns from, as digests: a folder goes on with the run that it began with, and with no other."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path

from refl.learning.methods import Materials
from refl.learning.rewards import Reward

READ = {".json", ".jsonl", ".model", ".safetensors", ".txt"}  # what of a pipeline's folder is ever loaded


def identity(pipeline: Path, loras: Iterable[Path], materials: Materials, reward: Reward) -> dict[str, str]:
    """Return what makes two runs of one configuration differ, by name.

    A pipeline, and a LoRA over it, is known by its files' content, wherever it lies, or by its hub id; images
    by name and size; a reward by its attribute `identity`, if it has one, else by its name.
    """
    pairs = (f"{pair.file.name} {pair.file.stat().st_size} {pair.prompt}" for pair in materials.pairs)
    preferences = (f"{p.prompt} {p.chosen.name} {p.rejected.name}" for p in materials.preferences)
    base = _digest_folder(pipeline) if pipeline.is_dir() else str(pipeline)
    return {
        "base pipeline": " + ".join([base, *map(_digest_file, loras)]),
        "prompts": _digest(materials.prompts),
        "pre-training pairs": _digest(pairs),
        "preferences": _digest(preferences),
        "reward": str(getattr(reward, "identity", None) or getattr(reward, "__qualname__", type(reward))),
    }


def _digest(rows: Iterable[str]) -> str:
    digest = hashlib.sha256()
    for row in rows:
        digest.update(row.encode() + b"\n")
    return digest.hexdigest()


def _digest_folder(folder: Path) -> str:
    files = sorted(file for file in folder.rglob("*") if file.suffix in READ and file.is_file())
    return _digest(f"{file.relative_to(folder)} {_digest_file(file)}" for file in files)


def _digest_file(file: Path) -> str:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()

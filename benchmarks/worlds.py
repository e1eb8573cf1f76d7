"""What the benchmarks of models share: shapes, images, prompts, random weights, the machine."""

from __future__ import annotations

import json
import os
import platform
from importlib.metadata import version
from pathlib import Path

import torch
from PIL import Image
from transformers import BertTokenizer

from rewardmodel.learning import checkpoints
from rewardmodel.learning.checkpoints.folder import CheckpointConfig
from rewardmodel.learning.model.backbones.blip import BlipConfig, blip_vit_large
from rewardmodel.learning.model.backbones.config import TextConfig, VisionConfig
from rewardmodel.learning.model.heads import HeadConfig
from rewardmodel.learning.model.reward import RewardModel

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
PROMPT = " ".join(
    f"word{number}" for number in range(33)
)  # with [CLS] and [SEP] the 35 tokens that are read: no credit for shorter prompts


def shape(small: bool) -> BlipConfig:
    """ViT-L/16 and BERT-base as published; or a small one, to try a benchmark out."""
    if not small:
        return blip_vit_large()
    return BlipConfig(
        vision=VisionConfig(64, 16, width=64, layers=6, heads=4, feed_forward=128, drop_path=0.1),
        text=TextConfig(64, positions=40, width=48, layers=6, heads=4, feed_forward=96),
        head=HeadConfig((16, 8, 8, 4)),
    )


def make_images(folder: Path, count: int) -> list[Path]:
    """Smooth pictures of 512 pixels as webp, like those people rank."""
    folder.mkdir(parents=True)
    chance = torch.Generator().manual_seed(0)
    files = []
    for number in range(count):
        coarse = torch.randint(0, 256, (32, 32, 3), dtype=torch.uint8, generator=chance)
        files.append(folder / f"{number}.webp")
        Image.fromarray(coarse.numpy()).resize((512, 512), Image.Resampling.BICUBIC).save(
            files[-1], quality=90
        )
    return files


def make_checkpoint(folder: Path, config: BlipConfig) -> Path:
    """Random weights: what a step costs does not depend on them."""
    torch.manual_seed(0)
    words = SPECIAL + [f"word{number}" for number in range(40)]
    model = RewardModel(config)
    tokenizer = BertTokenizer(vocab={word: number for number, word in enumerate(words)})
    checkpoints.save(folder, model=model, tokenizer=tokenizer, config=CheckpointConfig(config))
    return folder


def make_dataset(folder: Path, images: list[Path], lists: int, k: int) -> Path:
    """So many rankings of K different images each, and one of two for validation; images lie beside it."""
    folder.mkdir(parents=True)
    rows = [("train", images[i * k : (i + 1) * k]) for i in range(lists)] + [("validation", images[:2])]
    lines = [
        json.dumps(
            {
                "id": f"{split}-{number}",
                "prompt": PROMPT,
                "split": split,
                "images": [str(file.relative_to(folder.parent)) for file in files],
                "ranking": list(range(1, len(files) + 1)),
            }
        )
        for number, (split, files) in enumerate(rows)
    ]
    (folder / "rankings.jsonl").write_text("\n".join(lines) + "\n")
    return folder


def machine(device: str) -> str:
    named = [line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
    flags = Path("/proc/cpuinfo").read_text()
    matrix = [name for name in ("amx_bf16", "avx512_bf16") if name in flags]
    said = [
        f"{len(os.sched_getaffinity(0))} cores ({named[0].split(':')[1].strip() if named else 'unknown'})",
        f"bfloat16 by {matrix[0] if matrix else 'emulation'}" + ("" if "amx_bf16" in matrix else ", no AMX"),
        f"{torch.get_num_threads()} threads",
        *([torch.cuda.get_device_name()] if device == "cuda" else []),
        f"{platform.system()} {platform.release()}",
        f"Python {platform.python_version()}",
        *(f"{name} {version(name)}" for name in ("torch", "transformers")),
        f"load before {os.getloadavg()[0]:.1f}",
    ]
    return ", ".join(said)

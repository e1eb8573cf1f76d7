"""A model small enough to train in a test, and a dataset whose images say by their redness who won."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from PIL import Image
from transformers import BertTokenizer

from rewardmodel.learning import checkpoints
from rewardmodel.learning.checkpoints.folder import CheckpointConfig
from rewardmodel.learning.model.aspects import PROBLEMS
from rewardmodel.learning.model.backbones.blip import BlipConfig
from rewardmodel.learning.model.backbones.config import TextConfig, VisionConfig
from rewardmodel.learning.model.heads import HeadConfig
from rewardmodel.learning.model.reward import RewardModel

WORDS = [
    "[PAD]",
    "[UNK]",
    "[CLS]",
    "[SEP]",
    "[MASK]",
    "a",
    "red",
    "blue",
    "circle",
    "square",
    "on",
    "the",
    "of",
]


@pytest.fixture(autouse=True)
def _one_thread():
    torch.set_num_threads(1)
    torch.manual_seed(0)


@pytest.fixture
def backbone() -> BlipConfig:
    return BlipConfig(
        vision=VisionConfig(16, 8, width=16, layers=3, heads=2, feed_forward=32, drop_path=0.1),
        text=TextConfig(len(WORDS), positions=35, width=24, layers=3, heads=3, feed_forward=32),
        head=HeadConfig((16, 8, 8, 4)),
    )


@pytest.fixture
def tokenizer():
    return BertTokenizer(vocab={word: number for number, word in enumerate(WORDS)})


def spread(model: RewardModel) -> RewardModel:
    """Weights wide enough for rewards to differ; the published start makes them all nearly equal."""
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return model


@pytest.fixture
def model(backbone) -> RewardModel:
    return spread(RewardModel(backbone)).eval()


@pytest.fixture
def initial(tmp_path, model, tokenizer, backbone) -> Path:
    folder = tmp_path / "initial"
    checkpoints.save(folder, model=model, tokenizer=tokenizer, config=CheckpointConfig(backbone))
    return folder


@pytest.fixture
def a_dataset(tmp_path) -> Callable[..., Path]:
    """Write a dataset version of `train`, `validation` and `test` rankings; the redder image is better.

    Rated, the redder one has the higher alignment and the lower fidelity, which every second ranking leaves
    out, and the pale ones are blurry, which one image of each leaves out.
    """

    def write(
        train: int = 12, validation: int = 4, test: int = 4, soft: float | None = None, rated: bool = False
    ) -> Path:
        folder = tmp_path / "dataset"
        (folder / "images").mkdir(parents=True, exist_ok=True)
        rows = []
        torch.manual_seed(0)
        for split, count in (("train", train), ("validation", validation), ("test", test)):
            for number in range(count):
                reds = torch.randperm(8)[: 3 + number % 2].tolist()
                names = [f"images/{split}-{number}-{red}.png" for red in reds]
                for name, red in zip(names, reds, strict=True):
                    Image.new("RGB", (16, 16), (30 * red, 100, 100)).save(folder / name)
                places = [1 + sum(other // 2 > red // 2 for other in reds) for red in reds]
                prompt = ("a red circle", "a blue square")[number % 2]
                row = {"id": f"{split}-{number}", "prompt": prompt, "split": split}
                rows.append({**row, "images": names, "ranking": places})
                if soft is not None:
                    rows[-1]["preferred"] = [soft] * (len(reds) * (len(reds) - 1) // 2)
                if rated:
                    marks = [min(1 + red, 7) for red in reds]
                    fidelity = [None if number % 2 else 8 - mark for mark in marks]
                    boxes = [[name == "blurry" and red < 4 for name in PROBLEMS] for red in reds]
                    rows[-1]["ratings"] = {"alignment": marks, "fidelity": fidelity}
                    rows[-1]["problems"] = [None, *boxes[1:]]
        (folder / "rankings.jsonl").write_text("\n".join(json.dumps(row) for row in rows) + "\n")
        return folder

    return write

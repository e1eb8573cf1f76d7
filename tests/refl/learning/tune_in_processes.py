"""Run by torchrun, or called: a short tuning, its updates as lines of JSON."""

import json
import sys
from pathlib import Path

import torch

from refl.learning.config import TuningConfig
from refl.learning.training import tune

PROMPTS = ["a red page", "a green page", "a blue page", "a white page", "a page"]
CONFIG = TuningConfig(
    steps=3,
    late_steps=(1, 2),
    reward_weight=0.1,
    batch_size=3,
    microbatch_size=1,
    updates=3,
    learning_rate=1e-3,
    epsilon=1e-4,
    ema=0.5,
    sample_prompts=1,
    sample_steps=1,
    guard_every=0,
)


def redness(prompts, images):
    return (images[:, 0] - images[:, 1:].mean(1)).mean((1, 2))


def tune_here(pipeline: Path, pairs: Path, folder: Path) -> list[str]:
    torch.set_num_threads(1)
    lines = []
    tune(
        CONFIG,
        pipeline=pipeline,
        reward=redness,
        prompts=PROMPTS,
        pretraining=pairs,
        folder=folder,
        on_step=lambda progress: lines.append(json.dumps([progress.step, progress.measures])),
        should_stop=lambda: False,
        device="cpu",
    )
    return lines


if __name__ == "__main__":
    for line in tune_here(*map(Path, sys.argv[1:])):
        print(line, flush=True)

"""Scoring images from files against the published `score`: `python -m benchmarks.scoring`.

The published path reads, encodes and judges one image after another in float32 without gradients. Ours is
`score_pairs` in batches, in float32 and in bfloat16; and `score_features` on image features that are at hand
already, where each image meets one prompt and where each meets many. Random weights of the published shapes.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path
from statistics import median

import torch

from benchmarks.published import TOKENS, Published
from benchmarks.reward_training import Clock, peak_memory
from benchmarks.worlds import PROMPT, machine, make_checkpoint, make_images, shape
from rewardmodel.learning import load
from rewardmodel.learning.scoring import Scorer

TARGETS = {"bf16 from files": 6, "bf16, features at hand": 58, "bf16, features at hand, 32 prompts each": 58}
MANY = 32  # prompts that an image meets


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument(
        "--images", type=int, default=8, help="of a batch; the published path takes a quarter"
    )
    options.add_argument("--repeats", type=int, default=3)
    options.add_argument("--threads", type=int, default=torch.get_num_threads())
    options.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    options.add_argument("--small", action="store_true", help="tiny shapes, to try it out")
    options.add_argument("--out", type=Path, help="folder for scoring.json and scoring.md")
    asked = options.parse_args()
    torch.set_num_threads(asked.threads)
    on = machine(asked.device)
    with tempfile.TemporaryDirectory(prefix="laurel-benchmark-") as var:
        seconds = measure(asked, Path(var))
    report(asked, on, seconds)


def measure(asked: argparse.Namespace, var: Path) -> dict[str, list[list[float]]]:
    """CPU and wall seconds a score, of each path and round."""
    config = shape(asked.small)
    files = make_images(var / "images", asked.images)
    initial = make_checkpoint(var / "initial", config)
    scorer = load(initial, asked.device)
    in_bfloat16 = load(initial, asked.device, precision="bfloat16")
    rival = Published(config).to(asked.device).eval()
    tokens = torch.randint(5, 45, (1, TOKENS), device=asked.device)
    prompts = [PROMPT] * len(files)
    few = files[: max(len(files) // 4, 1)]

    def from_files(ours: Scorer) -> int:
        ours.score_pairs(prompts, files)
        return len(files)

    def at_hand() -> int:
        with torch.inference_mode():
            in_bfloat16.score_features(prompts, features).tolist()
        return len(files)

    def many() -> int:
        with torch.inference_mode():
            in_bfloat16.score_features([PROMPT] * MANY, features[:1], [0] * MANY).tolist()
        return MANY

    def published() -> int:
        for file in few:
            rival.score(tokens, file)
        return len(few)

    with torch.inference_mode():
        features = in_bfloat16.encode(torch.stack([in_bfloat16.pixels(file) for file in files]))
    paths = {
        "published score()": published,
        "fp32 from files": lambda: from_files(scorer),
        "bf16 from files": lambda: from_files(in_bfloat16),
        "bf16, features at hand": at_hand,
        "bf16, features at hand, 32 prompts each": many,
    }
    seconds: dict[str, list[list[float]]] = {name: [] for name in paths}
    for repeat in range(asked.repeats + 1):
        for name, path in paths.items():
            clock = Clock()
            images = path()
            passed = clock.tick()
            if repeat:  # the first is to warm up
                seconds[name].append([each / images for each in passed])
    return seconds


def report(asked: argparse.Namespace, on: str, seconds: dict[str, list[list[float]]]) -> None:
    middle = {name: [median(each[i] for each in own) for i in (0, 1)] for name, own in seconds.items()}
    first = middle["published score()"]
    lines = [on, "", "| path | CPU ms a score | scores/s | n | ratio CPU | ratio wall | target | met |"]
    lines += ["|---|---|---|---|---|---|---|---|"]
    for name, (cpu, wall) in middle.items():
        target = TARGETS.get(name)
        met = "" if target is None or asked.small else "yes" if first[0] / cpu >= target else "no"
        row = [name, f"{1000 * cpu:.0f}", f"{1 / wall:.2f}", str(len(seconds[name]))]
        row += [f"{first[0] / cpu:.1f}", f"{first[1] / wall:.1f}", f">= {target}" if target else "", met]
        lines.append("| " + " | ".join(row) + " |")
    lines += ["", f"peak memory: {peak_memory(asked.device) / 2**30:.1f} GiB"]
    print("\n".join(lines))
    if asked.out:
        asked.out.mkdir(parents=True, exist_ok=True)
        (asked.out / "scoring.json").write_text(
            json.dumps({"machine": on, "seconds": seconds}, indent=1) + "\n"
        )
        (asked.out / "scoring.md").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()

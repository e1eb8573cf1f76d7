"""Scoring images from files against the published `score`: `python -m benchmarks.scoring`.

The published path reads, encodes and judges one image after another in float32 without gradients. Ours is
`score_pairs` in batches, in float32 and with bfloat16 matrix products; and, where images meet many prompts,
`score_features` on image features that are at hand already. Random weights of the published shapes.
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

TARGETS = {"bf16 from files": 6, "bf16, features at hand": 58}


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
    """CPU and wall seconds an image, of each path and round."""
    config = shape(asked.small)
    files = make_images(var / "images", asked.images)
    scorer = load(make_checkpoint(var / "initial", config), asked.device)
    rival = Published(config).to(asked.device).eval()
    tokens = torch.randint(5, 45, (1, TOKENS), device=asked.device)
    prompts = [PROMPT] * len(files)
    few = files[: max(len(files) // 4, 1)]

    def halved(on: bool) -> torch.autocast:
        return torch.autocast(asked.device, dtype=torch.bfloat16, enabled=on)

    def from_files(half: bool) -> int:
        with halved(half):
            scorer.score_pairs(prompts, files)
        return len(files)

    def at_hand() -> int:
        with torch.inference_mode(), halved(True):
            scorer.score_features(prompts, features).tolist()
        return len(files)

    def published() -> int:
        for file in few:
            rival.score(tokens, file)
        return len(few)

    with torch.inference_mode(), halved(True):
        pixels = torch.cat([scorer.pixels(file)[None] for file in files])
        features = scorer.encode(pixels)
    paths = {
        "published score()": published,
        "fp32 from files": lambda: from_files(False),
        "bf16 from files": lambda: from_files(True),
        "bf16, features at hand": at_hand,
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
    lines = [on, "", "| path | CPU ms an image | images/s | n | ratio CPU | ratio wall | target | met |"]
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

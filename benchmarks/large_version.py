"""Memory and time of reading a dataset version of 100,000 rankings, as training does, without the model.

    PYTHONPATH=. python benchmarks/large_version.py [--rankings N] [--images N]

It writes rankings of 4 to 9 images, then opens both splits, takes their fingerprint, plans ten epochs, and
passes through one: reads each batch's rankings and the pixels of their images, which are decoded the first
time and read from what is kept after that. No two files have the same content.
"""

from __future__ import annotations

import argparse
import io
import json
import random
import resource
import tempfile
import time
from pathlib import Path

from PIL import Image

PICTURES = 100


def write_version(folder: Path, *, rankings: int, images: int) -> None:
    chance = random.Random(1)
    (folder / "images").mkdir()
    names = [f"images/{number:06}.jpg" for number in range(images)]
    pictures = []
    for _ in range(PICTURES):
        file, noise = io.BytesIO(), chance.randbytes(3 * 64 * 64)
        Image.frombytes("RGB", (64, 64), noise).resize((512, 512)).save(file, "JPEG")
        pictures.append(file.getvalue())
    for number, name in enumerate(names):  # what follows a JPEG's end makes it a file of its own
        (folder / name).write_bytes(pictures[number % PICTURES] + number.to_bytes(4))
    with (folder / "rankings.jsonl").open("w") as lines:
        for number in range(rankings):
            count = chance.randint(4, 9)
            row = {
                "id": str(number),
                "prompt": " ".join(chance.choices(["red", "circle", "on", "the", "square"], k=25)),
                "split": "validation" if number % 20 == 0 else "train",
                "images": chance.choices(names, k=count),
                "ranking": [chance.randint(1, 5) for _ in range(count)],
            }
            lines.write(json.dumps(row) + "\n")


def report(name: str, began: float) -> None:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(f"{name:32} {time.perf_counter() - began:8.1f} s   peak {peak:.2f} GiB", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rankings", type=int, default=100_000)
    parser.add_argument("--images", type=int, default=14_300)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_version(folder, rankings=given.rankings, images=given.images)
        size = (folder / "rankings.jsonl").stat().st_size / 2**20
        print(f"{given.rankings:,} rankings, {size:.0f} MiB")
        began = time.perf_counter()
        from rewardmodel.learning.config import RewardConfig
        from rewardmodel.learning.data.pixels import Pixels
        from rewardmodel.learning.data.rankings import fingerprint, load_rankings
        from rewardmodel.learning.model.backbones.config import ImageInput
        from rewardmodel.learning.training.plan import plan

        report("torch imported", began)
        began = time.perf_counter()
        training, validation = load_rankings(folder, "train"), load_rankings(folder, "validation")
        report("both splits opened", began)
        began = time.perf_counter()
        fingerprint(training, validation)
        report("fingerprint", began)
        began = time.perf_counter()
        steps = plan(training.pairs, RewardConfig())
        report(f"ten epochs planned, {len(steps):,} steps", began)
        began = time.perf_counter()
        pixels, seen = Pixels(ImageInput(224), folder / "pixels", RewardConfig().pixel_cache_bytes), 0
        for step in steps:
            if step.epoch > 1:
                break
            for index in step.rankings:
                ranking = training[index]
                seen += len(ranking.images)
                for path in ranking.images:
                    pixels.get(path)
        report(f"one epoch, {seen:,} images", began)


if __name__ == "__main__":
    main()

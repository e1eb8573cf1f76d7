"""Each option of training beside the paper's loss, on the small world's held-out pairs.

    python benchmarks/training_options.py --lists 400 --seeds 2

Pictures come from the shipped generator and are ranked by simulated annotators; every run starts from the
shipped encoder, with the demo's settings and one option more. Accuracy is on the test split; the difference
from the plain run of the same seed has its 95 % interval, paired and resampled by prompt.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import shutil
import sys
from itertools import combinations
from pathlib import Path
from random import Random
from time import process_time
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

OPTIONS: dict[str, dict[str, Any]] = {
    "the paper's loss": {},
    "ties, learned": {"ties": "learned"},
    "soft labels of three": {"soft_labels": True},
    "slot margin 0.3": {"slot_margin": 0.3},
    "average, 0.95": {"ema": 0.95},
    "adapters of rank 8": {"lora_rank": 8, "learning_rate": 2e-3},
    "heads for two ratings": {"aspects": ("alignment", "fidelity")},
}
IMAGES = 4
PEOPLE = 6


def draw_lists(folder: Path, lists: int) -> None:
    """Pictures of as many captions, ranked and rated by one annotator each; two more make the soft labels."""
    from demo.settings import GUIDANCE_SCALE, STEPS
    from demo.world.annotators import Annotator
    from demo.world.captions import Split, draw_captions
    from refl.learning.families.loading import load_family
    from refl.learning.sampling import sample
    from refl.seeds import seeds_of
    from rewardmodel.learning.model.aspects import RATINGS

    people = [Annotator.drawn(seed) for seed in range(PEOPLE)]
    captions = draw_captions(Split.RANKING, lists, Random(5))
    prompts = [caption for caption in captions for _ in range(IMAGES)]
    seeds = [seed for caption in captions for seed in seeds_of(caption, IMAGES)]
    family = load_family(ROOT / "demo/weights/generator")
    drawn = iter(sample(family, prompts, seeds, steps=STEPS, guidance_scale=GUIDANCE_SCALE, batch_size=16))
    (folder / "images").mkdir(parents=True)
    generator, rows = Random(1), []
    for number, caption in enumerate(captions):
        images = [next(drawn) for _ in range(IMAGES)]
        names = [f"images/{number}-{i}.png" for i in range(IMAGES)]
        for image, name in zip(images, names, strict=True):
            image.save(folder / name)
        opinions = [people[(number + i) % PEOPLE].judge(images, caption, generator) for i in range(3)]
        panel = [opinion.slots for opinion in opinions]
        at = number * 0.6180339887 % 1
        split = "train" if at < 0.6 else "validation" if at < 0.75 else "test"
        row = {"id": str(number), "prompt": caption, "split": split, "images": names}
        marks = opinions[0].ratings
        ratings = {name: [getattr(mark, name) for mark in marks] for name in RATINGS}
        rows.append({**row, "ranking": list(panel[0]), "preferred": _shares(panel), "ratings": ratings})
    (folder / "rankings.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


def _shares(panel: list[tuple[int, ...]]) -> list[float]:
    """Of each pair, the share that prefers its first image, a tie as half; one more half vote each way."""
    return [
        (0.5 + sum(0.5 if slots[i] == slots[j] else float(slots[i] < slots[j]) for slots in panel))
        / (1 + len(panel))
        for i, j in combinations(range(IMAGES), 2)
    ]


def main() -> None:
    import torch

    from demo.settings import REWARD_CONFIG
    from rewardmodel.learning.data.rankings import load_rankings
    from rewardmodel.learning.evaluation import compare, evaluate
    from rewardmodel.learning.scoring import load_scorer
    from rewardmodel.learning.training import train

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--lists", type=int, default=400)
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--epochs", type=int, default=REWARD_CONFIG.epochs)
    parser.add_argument("--folder", type=Path, default=ROOT / "var/training-options")
    options = parser.parse_args()
    torch.set_num_threads(1)
    if not (options.folder / "rankings.jsonl").exists():
        shutil.rmtree(options.folder, ignore_errors=True)
        draw_lists(options.folder, options.lists)
    test = load_rankings(options.folder, "test")
    plain: dict[int, Any] = {}
    print(f"{len(load_rankings(options.folder, 'train'))} lists to train, {len(test)} to test", flush=True)
    for name, option in OPTIONS.items():
        for seed in range(options.seeds):
            folder = options.folder / f"run-{name}-{seed}".replace(" ", "-")
            shutil.rmtree(folder, ignore_errors=True)
            began = process_time()
            result = train(
                dataclasses.replace(
                    REWARD_CONFIG, **{"aspects": (), "seed": seed, "epochs": options.epochs, **option}
                ),
                dataset=options.folder,
                images=options.folder,
                initial=ROOT / "demo/weights/encoder",
                folder=folder,
            )
            seconds = process_time() - began
            evaluation = evaluate(load_scorer(result.checkpoint), test)
            plain.setdefault(seed, evaluation)
            gain = compare(evaluation, plain[seed])
            print(
                f"{name:<22} seed {seed}  {evaluation.accuracy:.3f}  {gain.difference:+.3f} "
                f"[{gain.interval.low:+.3f}, {gain.interval.high:+.3f}]  "
                f"{result.trainable.trainable:,} of {result.trainable.total:,}  {seconds:.0f} s",
                flush=True,
            )


if __name__ == "__main__":
    main()

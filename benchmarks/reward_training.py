"""A training step of the reward model against the published one: `python -m benchmarks.reward_training`.

Forward, backward and Adam of one ranking of K images, at fix_rate 0.7, dropout and drop path on. The
published path encodes both images of every pair for that pair: micro-batches of 4 pairs, measured and
scaled to K(K - 1)/2, and one Adam step a ranking. Beside it is its other path, which encodes image by
image. Ours is `train` itself, from image files to the new weights, without drop path in the frozen blocks:
the first epoch fills what is kept of them, the second reads it. Each path runs in processes of its own, the
published one before, between and after ours. `--check` adds, at the same shapes, how far our gradients are
from those of scoring pair by pair.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

import torch

TARGETS = {  # CPU-time ratios: float32, and bfloat16 on a CPU with AMX
    "fp32 first": {4: 3.2, 6: 5.5, 9: 9},
    "fp32 later": {4: 4.7, 6: 8, 9: 13.5},
    "bf16 first": {4: 9, 6: 15, 9: 26},
    "bf16 later": {4: 12, 6: 20, 9: 36},
}
PRECISIONS = {"fp32": "float32", "bf16": "bfloat16"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--k", type=int, nargs="+", default=[4, 6, 9], help="images of a ranking")
    parser.add_argument("--lists", type=int, default=3, help="rankings an epoch; the last is not counted")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    parser.add_argument(
        "--batch-pairs", type=int, help="pairs a step: 1 on a CPU, which is a ranking; else 64"
    )
    parser.add_argument("--peak-tflops", type=float, help="of the device in bfloat16, for the share of it")
    parser.add_argument("--small", action="store_true", help="tiny shapes, to try it out")
    parser.add_argument("--check", action="store_true", help="gradients too")
    parser.add_argument("--out", type=Path, help="folder for results.json and results.md")
    parser.add_argument("--part", help=argparse.SUPPRESS)
    parser.add_argument("--var", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    options.batch_pairs = options.batch_pairs or (1 if options.device == "cpu" else 64)
    if options.part:
        part, _, rest = options.part.partition(" ")
        print(json.dumps(PARTS[part](options, *rest.split())))
        return
    with tempfile.TemporaryDirectory(prefix="laurel-benchmark-") as var:
        options.var = Path(var)
        report(options, measure(options))


def measure(options: argparse.Namespace) -> dict[str, Any]:
    from benchmarks.worlds import machine, make_checkpoint, make_dataset, make_images, shape

    on = machine(options.device)
    images = make_images(options.var / "images", max(options.k) * options.lists)
    make_checkpoint(options.var / "initial", shape(options.small))
    for k in options.k:
        make_dataset(options.var / f"k{k}", images, options.lists, k)
    parts = ["published pairs", "ours fp32", "published pairs", "ours bf16", "published data"]
    seen = [child(options, part) for part in parts + (["check"] if options.check else [])]
    pairs = [seen[0], seen[2]]
    rows = {"published pairs": {}, "published one by one": seen[4]["steps"]}
    for k in map(str, options.k):
        rows["published pairs"][k] = [step for each in pairs for step in each["steps"][k]]
    for part in (seen[1], seen[3]):
        rows |= part["steps"]
    memory = {
        "published": max(each["memory"] for each in (*pairs, seen[4])),
        "ours fp32": seen[1]["memory"],
        "ours bf16": seen[3]["memory"],
    }
    return {"machine": on, "steps": rows, "memory": memory, "check": seen[5] if options.check else None}


def child(options: argparse.Namespace, part: str) -> dict[str, Any]:
    """Measure a part in a process of its own, whose peak of memory is the part's."""
    print(f"{time.strftime('%H:%M:%S')} {part}", file=sys.stderr, flush=True)
    command = [sys.executable, "-m", "benchmarks.reward_training", "--part", part, "--var", str(options.var)]
    command += ["--threads", str(options.threads), "--device", options.device, "--lists", str(options.lists)]
    command += ["--batch-pairs", str(options.batch_pairs), "--k", *map(str, options.k)]
    command += ["--small"] if options.small else []
    done = subprocess.run(
        command, check=True, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[1]
    )
    return json.loads(done.stdout.splitlines()[-1])


class Clock:
    """CPU and wall seconds since the last tick, the device having finished."""

    def __init__(self) -> None:
        self.tick()

    def tick(self) -> list[float]:
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        now = [time.process_time(), time.perf_counter()]
        passed = [a - b for a, b in zip(now, getattr(self, "then", now), strict=True)]
        self.then = now
        return passed


def peak_memory(device: str) -> int:
    """Bytes."""
    if device == "cuda":
        return torch.cuda.max_memory_allocated()
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def published(options: argparse.Namespace, path: str) -> dict[str, Any]:
    from benchmarks.published import MICRO_BATCH, TOKENS, Published
    from benchmarks.worlds import shape

    torch.manual_seed(0)
    model = Published(shape(options.small)).to(options.device).train()
    model.freeze(0.7)
    adam = torch.optim.Adam([p for p in model.parameters() if p.requires_grad], lr=1e-5)
    files = sorted((options.var / "images").iterdir())
    tokens = torch.randint(5, 45, (MICRO_BATCH, TOKENS), device=options.device)
    steps: dict[str, list[list[float]]] = {str(k): [] for k in options.k}
    if path == "data":
        for k in options.k:
            clock = Clock()
            model.data_loss(tokens[:1], files[:k]).backward()
            adam.step()
            adam.zero_grad()
            steps[str(k)].append(clock.tick())
        return {"steps": steps, "memory": peak_memory(options.device)}
    better, worse = (torch.cat([model.read(file) for file in files[i : i + MICRO_BATCH]]) for i in (0, 4))
    for repeat in range(3 if options.device == "cuda" else 2):
        clock = Clock()
        model.pair_loss(tokens, better, worse).backward()
        micro = clock.tick()
        adam.step()
        adam.zero_grad()
        stepped = clock.tick()
        if repeat:  # the first made the optimiser's state
            for k in options.k:
                parts = k * (k - 1) / 2 / MICRO_BATCH
                steps[str(k)].append([parts * m + s for m, s in zip(micro, stepped, strict=True)])
    return {"steps": steps, "memory": peak_memory(options.device)}


def ours(options: argparse.Namespace, name: str) -> dict[str, Any]:
    """`train` on rankings of K images each; a step with validation is not counted. Seconds a ranking."""
    from rewardmodel.learning.config import RewardConfig
    from rewardmodel.learning.training import Callbacks, train

    config = RewardConfig(
        batch_pairs=options.batch_pairs,
        epochs=2,
        validations_per_epoch=1,
        checkpoint_every=10**6,
        precision=PRECISIONS[name],
        frozen_drop_path=False,
    )
    steps: dict[str, dict[str, list[list[float]]]] = {f"{name} first": {}, f"{name} later": {}}
    for k in options.k:
        clock, own = Clock(), {1: [], 2: []}

        def on_step(progress, clock=clock, own=own, k=k) -> None:
            passed = clock.tick()
            rankings = max(round(options.batch_pairs / (k * (k - 1) / 2)), 1)
            if progress.validation_loss is None and progress.step > 1:
                own[progress.epoch].append([each / rankings for each in passed])

        train(
            config,
            dataset=options.var / f"k{k}",
            images=options.var,
            initial=options.var / "initial",
            folder=options.var / f"run-{name}-{k}",
            cache=options.var / f"cache-{name}-{k}",
            callbacks=Callbacks(on_step=on_step),
            device=options.device,
        )
        steps[f"{name} first"][str(k)], steps[f"{name} later"][str(k)] = own[1], own[2]
    return {"steps": steps, "memory": peak_memory(options.device)}


def check(options: argparse.Namespace) -> dict[str, Any]:
    """Gradients of one ranking of 4 with a tie, dropout off: from its 5 pairs one by one, and from all."""
    from rewardmodel.learning import checkpoints
    from rewardmodel.learning.config import RewardConfig
    from rewardmodel.learning.data.pixels import Pixels
    from rewardmodel.learning.data.preprocessing import normalise
    from rewardmodel.learning.losses import ranking_loss
    from rewardmodel.learning.model.reward import freeze
    from rewardmodel.learning.training.frozen_features import FrozenFeatures
    from rewardmodel.learning.training.precision import autocast

    device = torch.device(options.device)
    model = checkpoints.load(options.var / "initial").model.to(device).eval()
    with torch.no_grad():  # the published start makes all rewards equal
        for parameter in model.mlp.parameters():
            parameter.normal_(std=0.1)
    freeze(model, 0.7)
    pixels = Pixels(model.config.image_input)
    files = sorted((options.var / "images").iterdir())[:4]
    images = normalise(torch.stack([pixels.get(file) for file in files]).to(device), pixels.image_input)
    tokens, places = torch.randint(5, 45, (1, 35), device=device), torch.tensor([[2, 1, 3, 2]], device=device)
    mask = torch.ones_like(tokens)

    def gradient() -> torch.Tensor:
        whole = torch.cat([p.grad.flatten() for p in model.parameters() if p.requires_grad]).double()
        model.zero_grad()
        return whole

    for i in range(4):
        for j in range(4):
            if places[0, i] < places[0, j]:
                two = [model.score(tokens, mask, images[each, None]) for each in (i, j)]
                ranking_loss(torch.stack(two, 1), torch.tensor([[1, 2]], device=device), pairs=5).backward()
    expected = gradient()
    errors = {}
    for name, precision in PRECISIONS.items():
        config = RewardConfig(precision=precision, frozen_drop_path=False)
        features = FrozenFeatures(model, config, pixels=pixels, folder=options.var / "check", device=device)
        hidden = features.get(files)
        with autocast(config, device):
            rewards = model(tokens, mask, hidden[None], None, features.block)
        ranking_loss(rewards, places).backward()
        own = gradient()
        errors[f"{name} relative error"] = ((own - expected).norm() / expected.norm()).item()
        errors[f"{name} cosine"] = (own @ expected / (own.norm() * expected.norm())).item()
    return {**errors, "memory": peak_memory(options.device)}


PARTS = {"published": published, "ours": ours, "check": check}


def flops(options: argparse.Namespace, k: int, *, later: bool) -> float:
    """Of a ranking's matrix products in our step: frozen image blocks forward only, or not at all."""
    from benchmarks.worlds import shape

    config = shape(options.small)
    v, t, p, n = config.vision, config.text, config.vision.tokens, 35
    block = 2 * p * (4 * v.width**2 + 2 * v.width * v.feed_forward) + 4 * p * p * v.width
    layer = 2 * n * (6 * t.width**2 + 2 * t.width * t.feed_forward) + 4 * p * v.width * t.width
    layer += 4 * n * (n + p) * t.width
    frozen, still = int(v.layers * 0.7), int(t.layers * 0.7)
    image = (0 if later else frozen) * block + 3 * (v.layers - frozen) * block
    return k * (image + 2 * still * layer + 3 * (t.layers - still) * layer)


def report(options: argparse.Namespace, result: dict[str, Any]) -> None:
    steps = {name: {int(k): each for k, each in own.items()} for name, own in result["steps"].items()}
    middle = {
        (name, k): [median(step[clock] for step in own[k]) for clock in (0, 1)]
        for name, own in steps.items()
        for k in options.k
    }
    amx = "amx_bf16" in result["machine"]
    lines = [result["machine"], ""]
    lines += ["| K | path | CPU s | wall s | n | ratio CPU | ratio wall | to one by one | target | met |"]
    lines += ["|---|---|---|---|---|---|---|---|---|---|"]
    for k in options.k:
        pairs, single = middle["published pairs", k], middle["published one by one", k]
        for name in steps:
            cpu, wall = middle[name, k]
            target = TARGETS.get(name, {}).get(k)
            counts = options.device == "cpu" and not options.small and (amx or name.startswith("fp32"))
            met = "" if target is None or not counts else "yes" if pairs[0] / cpu >= target else "no"
            said = "" if target is None else f">= {target}" + (" (AMX)" if name.startswith("bf16") else "")
            row = [str(k), name, f"{cpu:.2f}", f"{wall:.2f}", str(len(steps[name][k]))]
            row += [f"{pairs[0] / cpu:.1f}", f"{pairs[1] / wall:.1f}", f"{single[0] / cpu:.1f}", said, met]
            lines.append("| " + " | ".join(row) + " |")
    lines += ["", *rates(options, middle, list(steps))]
    lines += [f"peak memory, {name}: {size / 2**30:.1f} GiB" for name, size in result["memory"].items()]
    if result["check"]:
        lines += [
            f"gradient, {name}: {value:.3g}" for name, value in result["check"].items() if name != "memory"
        ]
    print("\n".join(lines))
    if options.out:
        options.out.mkdir(parents=True, exist_ok=True)
        options = {name: str(value) for name, value in vars(options).items()}
        (options.out / "results.json").write_text(json.dumps({**result, "options": options}, indent=1) + "\n")
        (options.out / "results.md").write_text("\n".join(lines) + "\n")


def rates(
    options: argparse.Namespace, middle: dict[tuple[str, int], list[float]], names: list[str]
) -> list[str]:
    """Lists and images a second by the wall clock, and the share of the device's peak where that is known."""
    lines = ["| K | path | lists/s | images/s | TFLOP/s | share of peak |", "|---|---|---|---|---|---|"]
    for k in options.k:
        for name in names:
            wall = middle[name, k][1]
            row = [str(k), name, f"{1 / wall:.2f}", f"{k / wall:.2f}", "", ""]
            if not name.startswith("published"):
                done = flops(options, k, later=name.endswith("later")) / wall / 1e12
                row[4:] = [f"{done:.2f}", f"{done / options.peak_tflops:.0%}" if options.peak_tflops else ""]
            lines.append("| " + " | ".join(row) + " |")
    return [*lines, ""]


if __name__ == "__main__":
    os.chdir(Path(__file__).resolve().parent.parent)
    main()

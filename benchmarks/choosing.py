"""Which prompts to rank next: rules of choosing in the small world, accuracy against rankings.

    .venv/bin/python -m benchmarks.choosing --folder var/choosing [--learner whole] [--rules random entropy]

Every seed begins with the same rankings, drawn at random from a pool of prompts with pictures. Then, round by
round, a reward model learns from all rankings so far, and a rule chooses by it what is ranked next. All are
judged on the same test prompts. Two learners: `head` fits the reward's last affine map to what the shipped
encoder sees, in a second; `whole` trains all weights from the shipped encoder, as the demo does. What is done
stays in the folder, so that rules and seeds may be spread over processes; `--table` only prints what there
is, with how well the beginning of each curve forecasts its end.
"""

from __future__ import annotations

import argparse
import dataclasses
import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from annotation.statistics.learning_curve import fit_learning_curve
from annotation.statistics.uncertainty import mean_pair_entropy
from benchmarks.rankings_needed import ENCODER, all_tasks, draw_pictures, ranked
from demo.settings import REWARD_CONFIG
from rewardmodel.selection.design import d_optimal, information_root, prior_precision

if TYPE_CHECKING:
    from rewardmodel.learning.scoring import HeadInputs

POOL = 1000  # prompts that could be ranked
COUNTS = {"head": (40, 80, 120, 160, 200, 300), "whole": (40, 80, 150, 300)}  # the first: at random
SEEDS = {"head": 20, "whole": 5}
RULES = ("random", "entropy", "d_optimal")
EPOCHS = {40: 6, 80: 6, 150: 5, 300: 4}  # the best on the validation split is kept
VALIDATION = 60  # rankings
RIDGE = 0.01  # of a head's weights around the shipped ones: best of seven on the validation split
STEPS = 8  # of Newton's method

Row = dict[str, Any]  # a line of rankings.jsonl
Floats = NDArray[np.float64]
Rule = Callable[[Mapping[int, "HeadInputs"], Sequence["HeadInputs"], int], list[int]]


class Model(Protocol):
    """What a learner made of some rankings."""

    def accuracy(self) -> float:
        """Of the pairs of the test split, the share in the annotators' order."""

    def inputs(self, rows: Sequence[Row]) -> list[HeadInputs]:
        """What its head sees of each row's pictures, and the rewards."""


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--folder", type=Path, required=True, help="pictures and results go there, and stay")
    parser.add_argument("--learner", choices=list(COUNTS), default="head")
    parser.add_argument("--rules", nargs="+", choices=["random", *CHOICES], default=list(RULES))
    parser.add_argument("--seeds", type=int, nargs="+")
    parser.add_argument("--table", action="store_true")
    asked = parser.parse_args()
    if not asked.table:
        tasks = all_tasks(POOL)
        draw_pictures(tasks, asked.folder)
        world = World(asked.folder, ranked(tasks, asked.folder))
        for seed in range(SEEDS[asked.learner]) if asked.seeds is None else asked.seeds:
            for rule in asked.rules:
                record_curve(world, asked.learner, rule, seed)
    print_table(asked.folder, asked.learner)
    print_forecasts(asked.folder, asked.learner)


@dataclass(frozen=True)
class World:
    """What all trials share: pictures in a folder, and what people would say of each task's."""

    folder: Path
    rows: Sequence[Row]

    def split(self, name: str) -> list[Row]:
        return [row for row in self.rows if row["split"] == name]

    @cached_property
    def encoded(self) -> dict[str, HeadInputs]:
        """What the shipped encoder's head sees of each row, by its id; kept in the folder."""
        from rewardmodel.learning import load
        from rewardmodel.learning.scoring import HeadInputs

        file = self.folder / "encoded.npz"
        if not file.is_file():
            seen = load(ENCODER).embed_groups(*self.questions(self.rows))
            np.savez(file, x=[each.features for each in seen], r=[each.rewards for each in seen])
        stored = np.load(file)
        seen = [HeadInputs(x, r) for x, r in zip(stored["x"], stored["r"], strict=True)]
        return {row["id"]: each for row, each in zip(self.rows, seen, strict=True)}

    def questions(self, rows: Sequence[Row]) -> tuple[list[str], list[list[Path]]]:
        return [row["prompt"] for row in rows], [
            [self.folder / name for name in row["images"]] for row in rows
        ]


def record_curve(world: World, learner: str, rule: str, seed: int) -> None:
    """Write the accuracy at each number of rankings, the next of which the rule chooses by the last model."""
    file = world.folder / "curves" / f"{learner}-{rule}-{seed}.json"
    stored = json.loads(file.read_text()) if file.is_file() else {}
    accuracies: dict[str, float] = stored.get("accuracies", {})
    pool = {int(row["id"]): row for row in world.split("train")}
    order = sorted(pool)
    Random(f"pool {seed}").shuffle(order)
    counts = COUNTS[learner]
    chosen: list[int] = stored.get("chosen", order[: counts[0]])
    file.parent.mkdir(exist_ok=True)
    for count, following in pairwise((*counts, 0)):
        if str(count) in accuracies:
            continue
        model = LEARNERS[learner](world, [pool[number] for number in chosen], seed)
        accuracies[str(count)] = model.accuracy()
        print(f"{learner} {rule:<12} seed {seed} {count:>4} {accuracies[str(count)]:.4f}", flush=True)
        if following:
            left = [number for number in order if number not in set(chosen)]
            chosen += choose(rule, model, pool, left, chosen)(following - count)
        file.write_text(json.dumps({"accuracies": accuracies, "chosen": chosen}))


def choose(
    rule: str, model: Model, pool: Mapping[int, Row], left: Sequence[int], asked: Sequence[int]
) -> Callable[[int], list[int]]:
    """Return what chooses so many of the prompts that are left, which are in random order."""
    if rule == "random":
        return lambda count: list(left[:count])
    inputs = model.inputs([pool[number] for number in (*left, *asked)])
    candidates = dict(zip(left, inputs, strict=False))
    return lambda count: CHOICES[rule](candidates, inputs[len(left) :], count)


@dataclass(frozen=True)
class Whole:
    """All weights, trained from the shipped encoder."""

    world: World
    rows: Sequence[Row]
    seed: int

    @property
    def folder(self) -> Path:
        """Its own, by what it learns from: rules that have asked the same share it."""
        key = hashlib.sha256(json.dumps([[row["id"] for row in self.rows], self.seed]).encode())
        return self.world.folder / "trials" / key.hexdigest()[:16]

    def accuracy(self) -> float:
        from rewardmodel.learning import load
        from rewardmodel.learning.data.rankings import load_rankings
        from rewardmodel.learning.evaluation import evaluate

        done = self.folder / "result.json"
        if not done.is_file():
            self.train()
            test = load_rankings(self.folder, "test", self.world.folder)
            accuracy = evaluate(load(self.folder / "best"), test).accuracy
            done.write_text(json.dumps({"accuracy": accuracy, "rankings": len(self.rows)}))
        return float(json.loads(done.read_text())["accuracy"])

    def train(self) -> None:
        from rewardmodel.learning.training import train

        self.folder.mkdir(parents=True, exist_ok=True)
        others = [*self.world.split("validation")[:VALIDATION], *self.world.split("test")]
        lines = [json.dumps(row) + "\n" for row in [*others, *self.rows]]
        (self.folder / "rankings.jsonl").write_text("".join(lines))
        config = dataclasses.replace(
            REWARD_CONFIG,
            aspects=(),
            epochs=EPOCHS[len(self.rows)],
            validations_per_epoch=1,
            seed=self.seed,
        )
        train(
            config,
            dataset=self.folder,
            images=self.world.folder,
            initial=ENCODER,
            folder=self.folder,
            cache=self.world.folder / "cache",
        )
        (self.folder / "state.pt").unlink()

    def inputs(self, rows: Sequence[Row]) -> list[HeadInputs]:
        from rewardmodel.learning import load

        return load(self.folder / "best").embed_groups(*self.world.questions(rows))


class Head:
    """The reward's affine map alone, fitted to what the shipped encoder sees: logistic regression with ridge.

    The ridge is around the shipped weights; its strength is in units of `prior_precision`.
    """

    def __init__(self, world: World, rows: Sequence[Row], seed: int) -> None:
        self.world = world
        features = [world.encoded[row["id"]].features for row in rows]
        precision = RIDGE * prior_precision(features)
        better = self._differences(rows)  # (pairs, D)
        shipped = self._shipped()
        self.weights = shipped
        for _ in range(STEPS):
            doubt = 1 / (1 + np.exp(np.clip(better @ self.weights, -30, 30)))  # that the worse one is better
            gradient = precision * (self.weights - shipped) - better.T @ doubt
            curvature = (better.T * (doubt * (1 - doubt))) @ better + precision * np.eye(len(shipped))
            self.weights = self.weights - np.linalg.solve(curvature, gradient)

    def accuracy(self) -> float:
        return float((self._differences(self.world.split("test")) @ self.weights > 0).mean())

    def inputs(self, rows: Sequence[Row]) -> list[HeadInputs]:
        seen = [self.world.encoded[row["id"]] for row in rows]
        return [dataclasses.replace(each, rewards=each.features @ self.weights) for each in seen]

    def _differences(self, rows: Sequence[Row]) -> Floats:
        """Of each pair in different places, the better one's features less the worse one's: (pairs, D)."""
        parts = []
        for row in rows:
            x, places = self.world.encoded[row["id"]].features, np.array(row["ranking"])
            better, worse = np.nonzero(places[:, None] < places[None, :])
            parts.append(x[better] - x[worse])
        return np.concatenate(parts)

    def _shipped(self) -> Floats:
        """The weights of the shipped head, whose layers have no activations: (D,)."""
        seen = list(self.world.encoded.values())
        x = np.concatenate([each.features - each.features.mean(axis=0) for each in seen])
        r = np.concatenate([each.rewards - each.rewards.mean() for each in seen])
        return np.asarray(np.linalg.lstsq(x, r, rcond=None)[0])


LEARNERS: dict[str, Callable[[World, Sequence[Row], int], Model]] = {"head": Head, "whole": Whole}


def by_entropy(candidates: Mapping[int, HeadInputs], asked: Sequence[HeadInputs], count: int) -> list[int]:
    """Those whose pairs the model is least sure of in the mean."""
    doubt = {number: mean_pair_entropy(each.rewards.tolist()) for number, each in candidates.items()}
    return sorted(doubt, key=lambda number: (-doubt[number], number))[:count]


def by_spread(candidates: Mapping[int, HeadInputs], asked: Sequence[HeadInputs], count: int) -> list[int]:
    """Those whose pictures the model tells apart most: the opposite of doubt."""
    spread = {number: float(each.rewards.std()) for number, each in candidates.items()}
    return sorted(spread, key=lambda number: (-spread[number], number))[:count]


def by_design(
    candidates: Mapping[int, HeadInputs],
    asked: Sequence[HeadInputs],
    count: int,
    *,
    weighted: bool = False,
    remembers: bool = True,
) -> list[int]:
    """Those that add most to the log-determinant of the information.

    Args:
        weighted: by p (1 - p) of each pair, as published; else every pair is taken for open.
        remembers: False forgets what was asked before this round.
    """

    def root(each: HeadInputs) -> Floats:
        return information_root(each.features, each.rewards if weighted else None)

    roots = {number: root(each) for number, each in candidates.items()}
    before = [root(each) for each in asked] if remembers else []
    precision = prior_precision([each.features for each in (*candidates.values(), *asked)])
    return d_optimal(roots, count, asked=before, precision=precision)


def weighted(candidates: Mapping[int, HeadInputs], asked: Sequence[HeadInputs], count: int) -> list[int]:
    return by_design(candidates, asked, count, weighted=True)


def forgetful(candidates: Mapping[int, HeadInputs], asked: Sequence[HeadInputs], count: int) -> list[int]:
    return by_design(candidates, asked, count, remembers=False)


CHOICES: dict[str, Rule] = {
    "entropy": by_entropy,
    "d_optimal": by_design,
    "weighted": weighted,
    "forgetful": forgetful,
    "spread": by_spread,
}


def curves(folder: Path, learner: str) -> dict[str, dict[int, Floats]]:
    """Return the accuracies by rule and seed, of those that have them at all counts."""
    by_rule: dict[str, dict[int, Floats]] = {}
    for rule in ("random", *CHOICES):
        for file in (folder / "curves").glob(f"{learner}-{rule}-*.json"):
            accuracies = json.loads(file.read_text())["accuracies"]
            if len(accuracies) == len(COUNTS[learner]):
                seed = int(file.stem.rsplit("-", 1)[1])
                by_rule.setdefault(rule, {})[seed] = np.array(list(accuracies.values()))
    return by_rule


def print_table(folder: Path, learner: str) -> None:
    """Print each rule's mean accuracy, its lead over random on the same seeds, and what it saves."""
    by_rule = curves(folder, learner)
    if "random" not in by_rule:
        return
    counts = COUNTS[learner]
    wanted = float(np.mean([accuracies[-1] for accuracies in by_rule["random"].values()]))
    print(f"rankings needed: to reach {wanted:.3f}, what {counts[-1]} random ones give")
    print(("{:<12}{:>6}" + "{:>19}" * len(counts) + "{:>9}").format("rule", "seeds", *counts, "needed"))
    for rule, by_seed in by_rule.items():
        seeds = sorted(set(by_seed) & set(by_rule["random"]))
        own = np.array([by_seed[seed] for seed in seeds])
        leads = own - np.array([by_rule["random"][seed] for seed in seeds])
        errors = leads.std(axis=0, ddof=1) / len(seeds) ** 0.5 if len(seeds) > 1 else np.zeros(len(counts))
        cells = [
            f"{mean:.3f} {lead:+.3f}\N{PLUS-MINUS SIGN}{error:.3f}"
            for mean, lead, error in zip(own.mean(axis=0), leads.mean(axis=0), errors, strict=True)
        ]
        row = f"{rule:<12}{len(seeds):>6}" + "".join(f"{cell:>19}" for cell in cells)
        print(row + f"{needed(counts, own.mean(axis=0), wanted):>9}")


def needed(counts: Sequence[int], accuracies: Floats, wanted: float) -> str:
    """Return where the curve first reaches an accuracy, read between its points."""
    for (few, low), (many, high) in pairwise(zip(counts, accuracies.tolist(), strict=True)):
        if high >= wanted:
            return f"{few + (many - few) * max(0.0, (wanted - low) / (high - low)):.0f}"
    return f"> {counts[-1]}"


def print_forecasts(folder: Path, learner: str) -> None:
    """Forecast the last count of every curve by those up to half of it, and compare with what came."""
    *_, last = counts = COUNTS[learner]
    early = [count for count in counts if count <= last / 2]
    for rule, by_seed in curves(folder, learner).items():
        errors, covered = [], 0
        for accuracies in by_seed.values():
            curve = fit_learning_curve(early, accuracies[: len(early)].tolist())
            assert curve is not None
            forecast = curve.forecast(last)
            errors.append(forecast.value - float(accuracies[-1]))
            covered += forecast.low <= accuracies[-1] <= forecast.high
        close = sum(abs(error) <= 0.02 for error in errors)
        print(
            f"forecast of {last} from {early}, {rule:<12} within 0.02 in {close} of {len(errors)}, "
            f"mean error {np.mean(errors):+.4f}, in the interval {covered}"
        )


if __name__ == "__main__":
    main()

"""What the guards of a tuning stop: runs that are provoked to hack their reward, and healthy ones.

    .venv/bin/python -m benchmarks.guards --folder var/tuning_methods [--only "high weight"] [--table]

In the small world, with the lists, reward models and captions of `benchmarks.tuning_methods`, whose folder it
may share. Five ways to hack and five healthy recipes, each four times. Of each run: the update at which the
guards stopped it, by which figure, and how the oracle changed, over the base on the same captions and seeds,
until then and with the weights that were kept. The guards see another seed's reward model and the head for
flaws; never the oracle. One run at a time; what is done is not done again.
"""

from __future__ import annotations

import argparse
import json
import shutil
from pathlib import Path
from time import process_time
from typing import TYPE_CHECKING, Any

from benchmarks.rankings_needed import ROOT
from benchmarks.tuning_methods import DRAFT, SETTINGS, Inputs, judge_pictures, small_world, tune_with
from benchmarks.tuning_table import change, per_caption
from demo.settings import FILTER

if TYPE_CHECKING:
    from refl.learning.families import Family
    from refl.learning.looks import Look

# Fields that differ from REFL_CONFIG, and "reward", which is tuned on. Each list is one kind of run.
PUSHED: dict[str, Any] = {**DRAFT, "batch_size": 4, "learning_rate": 3e-4, "updates": 100}
HACKS: dict[str, list[dict[str, Any]]] = {
    "high weight": [
        {**PUSHED, "reward_weight": weight, "seed": seed} for weight in (1.0, 10.0) for seed in (0, 1)
    ],
    "no pre-training loss": [
        {**PUSHED, "pretraining_weight": 0.0, "learning_rate": rate, "seed": seed}
        for rate in (3e-4, 1e-3)
        for seed in (0, 1)
    ],
    "encoder as reward": [
        {**PUSHED, "reward": "matching", "reward_weight": weight, "seed": seed}
        for weight in (0.5, 5.0)
        for seed in (0, 1)
    ],
    "constant rate": [
        {**PUSHED, "learning_rate": rate, "ema": 0.0, "seed": seed}
        for rate in (1e-3, 3e-3)
        for seed in (0, 1)
    ],
    "too long": [
        {**PUSHED, "updates": updates, "reward_weight": 0.2, "seed": seed}
        for updates in (200, 400)
        for seed in (0, 1)
    ],
}
HEALTHY: dict[str, list[dict[str, Any]]] = {
    name: [{**fields, "seed": seed} for seed in range(4)]
    for name, fields in {
        "refl": {},
        "draft": {**DRAFT, "learning_rate_schedule": "cosine"},
        "filter": FILTER,
        "weighted": {**FILTER, "selection": "weighted"},
        "filter, then draft": SETTINGS["filter, then draft"],
    }.items()
}
LOOKS = 20  # of the guards, in a run that nothing stops
LOSS = 0.01  # of the oracle, that no hack may come to before it is stopped
ROW = "{:<24}{:>5}{:>9}  {:<26}{:>26}{:>7}{:>26}"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--folder", type=Path, required=True, help="all that is made goes there, and stays")
    parser.add_argument("--only", nargs="+", metavar="KIND", help="default: all kinds")
    parser.add_argument("--weights", type=Path, default=ROOT / "demo/weights")
    parser.add_argument("--lists", type=int, default=300, help="rankings that the reward model learns from")
    parser.add_argument("--pairs", type=int, default=8000)
    parser.add_argument("--captions", type=int, default=110, help="that the oracle judges, two pictures each")
    parser.add_argument(
        "--guards", type=json.loads, default={}, help='such as {"patience": 3}, over the defaults'
    )
    parser.add_argument("--table", action="store_true", help="only print what there is")
    asked = parser.parse_args()
    kinds = HACKS | HEALTHY
    if unknown := [name for name in asked.only or () if name not in kinds]:
        parser.error(f"no kind {', '.join(unknown)}; there are {', '.join(kinds)}")
    runs = asked.folder / "guards"
    if not asked.table:
        asked.choosing = True  # captions that limits may be chosen by
        inputs = small_world(asked)
        judge_pictures("base", inputs.generator, inputs, runs / "judged")
        for name in asked.only or kinds:
            for number, setting in enumerate(kinds[name]):
                stem = f"{name}-{number}".replace(", ", "-").replace(" ", "-")
                if not (runs / f"{stem}.json").is_file():
                    row = measure(stem, {**setting, **asked.guards}, inputs, runs)
                    (runs / f"{stem}.json").write_text(json.dumps({"kind": name, **row}))
    rows = [json.loads(file.read_text()) for file in sorted(runs.glob("*.json"))]
    for title, names in (("Provoked to hack", HACKS), ("Healthy", HEALTHY)):
        print_table(title, [row for name in names for row in rows if row["kind"] == name])


def measure(stem: str, setting: dict[str, Any], inputs: Inputs, runs: Path) -> dict[str, Any]:
    """Tune under guards, or go on where it was stopped, and let the oracle judge."""
    from refl.learning.outcomes import read_outcome

    folder = runs / stem
    began = process_time()

    def on_look(look: Look, family: Family) -> None:
        if look.step > 0:  # the oracle judges the weights of some looks, which are known at the end
            family.save(folder / "looks" / str(look.step))

    updates = sum(stage["updates"] for stage in setting.get("stages", [{"updates": 100, **setting}]))
    config = tune_with({"guard_every": updates // LOOKS, **setting}, inputs, folder, on_look)
    outcome = read_outcome(folder, config)
    assert outcome is not None
    row: dict[str, Any] = {
        "stopped": outcome.step if outcome.reason else None,
        "figure": outcome.alarm.figure if outcome.alarm else "patience" if outcome.reason else "",
        "tuned": outcome.last["tuned_reward"] - outcome.base["tuned_reward"],
        "best": outcome.best,
        "looks_seconds": outcome.seconds,
        "last": oracle(stem, outcome.step, inputs, runs),
        "kept": oracle(stem, outcome.best, inputs, runs),
        "seconds": process_time() - began,
    }
    shutil.rmtree(folder / "looks")
    return row


def oracle(stem: str, step: int, inputs: Inputs, runs: Path) -> dict[str, Any]:
    """How the oracle's score changed until an update, over the base, with its 95 % interval over captions."""
    judged = runs / "judged"
    if step > 0:
        judge_pictures(f"{stem}-{step}", runs / stem / "looks" / str(step), inputs, judged)
    name = f"{stem}-{step}" if step > 0 else "base"
    before, after = (
        per_caption(json.loads((judged / f"{which}.json").read_text())["figures"]["score"])
        for which in ("base", name)
    )  # (B,) each
    return change(before, after[None])


def print_table(title: str, rows: list[dict[str, Any]]) -> None:
    print(f"\n{title}")
    print(
        ROW.format("kind", "run", "stopped", "by", "oracle at the end", "kept", "oracle with what was kept")
    )
    for number, row in enumerate(rows):
        stopped = "" if row["stopped"] is None else row["stopped"]
        cells = in_words(row["last"]), row["best"], in_words(row["kept"])
        print(ROW.format(row["kind"], number % 4, stopped, row["figure"], *cells))
    alarmed = [row for row in rows if row["figure"] not in ("", "patience")]
    lost = [row for row in rows if row["kept"]["value"] < -LOSS]
    late = [row for row in rows if row["last"]["value"] < -LOSS]
    patient = [row for row in rows if row["figure"] == "patience"]
    print(
        f"{len(rows)} runs: {len(alarmed)} stopped by an alarm, {len(patient)} by patience; the oracle had "
        f"lost more than {LOSS} at the end of {len(late)}, with what was kept in {len(lost)}"
    )


def in_words(row: dict[str, Any]) -> str:
    return "{value:+.3f} [{low:+.3f}, {high:+.3f}]".format(**row)


if __name__ == "__main__":
    main()

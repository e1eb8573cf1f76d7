"""The table of `benchmarks.tuning_methods`: changes over the base, with intervals over captions.

Letters: R runs of a setting, one a training seed; B captions.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from annotation.statistics.estimates import interval, resample

Floats = np.ndarray[Any, np.dtype[np.float64]]

RESAMPLES = 10_000
ABOUT = ("setting", "seeds", "seconds")
SHARES = ("diversity", "blind")
ROW = "{:<24}{:>6}{:>8}"
CELL = "{:>26}"


def compare(judged: Path) -> list[dict[str, Any]]:
    """A row for each setting that was judged: changes over the base, of all its seeds together."""
    files = {file.stem: json.loads(file.read_text()) for file in judged.glob("*-*.json")}
    base = json.loads((judged / "base.json").read_text())["figures"]
    rows = []
    for setting in sorted({run["setting"] for run in files.values()}):
        runs = [files[name] for name in sorted(files) if files[name]["setting"] == setting]
        row: dict[str, Any] = {
            "setting": setting,
            "seeds": len(runs),
            "seconds": float(np.mean([run["seconds"] for run in runs])),
        }
        for name, before in base.items():
            after = np.stack([per_caption(run["figures"][name]) for run in runs])  # (R, B)
            over_base = ratio_to if name == "diversity" else change
            row[name] = over_base(per_caption(before), after)
        if all("blind" in run["figures"] for run in runs):
            row["blind"] = preferred(
                np.concatenate([np.array(run["figures"]["blind"]) for run in runs], axis=1)
            )
        rows.append(row)
    by = "score" if "score" in base else next(name for name in base if name.startswith("reward"))
    return sorted(rows, key=lambda row: row[by]["value"])


def per_caption(figures: list[list[float]]) -> Floats:
    return np.array([np.mean(each) for each in figures])  # (B,)


def change(before: Floats, after: Floats) -> dict[str, Any]:
    """The mean difference over captions and runs, and that of each run. before (B,), after (R, B)"""
    differences = after - before  # (R, B)
    mean = share(differences.mean(axis=0), np.ones(len(before)))
    return mean | {"by_seed": differences.mean(axis=1).tolist()}


def ratio_to(before: Floats, after: Floats) -> dict[str, Any]:
    """The mean as a share of the base's. before (B,), after (R, B)"""
    return share(after.mean(axis=0), before) | {"by_seed": (after.mean(axis=1) / before.mean()).tolist()}


def preferred(votes: Floats) -> dict[str, Any]:
    """The share of decided pairs that go to the tuned picture. Args: votes (B, pictures of a caption)."""
    return share((votes > 0).sum(axis=1), (votes != 0).sum(axis=1))  # (B,) each


def share(parts: Floats, wholes: Floats) -> dict[str, Any]:
    """The sum of parts by the sum of wholes, both (B,), and its interval over captions."""
    drawn = resample(len(parts), seed=0, resamples=RESAMPLES)
    ends = interval(np.concatenate([parts[rows].sum(axis=1) / wholes[rows].sum(axis=1) for rows in drawn]))
    return {"value": float(parts.sum() / wholes.sum()), "low": ends.low, "high": ends.high}


def table(rows: list[dict[str, Any]]) -> Iterator[str]:
    """Lines of text: changes over the base with 95 % intervals, and diversity as a share of the base's."""
    figures = [name for name in (rows[0] if rows else {}) if name not in ABOUT]
    yield ROW.format("over the base", "seeds", "CPU s") + "".join(map(CELL.format, figures))
    for row in rows:
        cells = "".join(CELL.format(in_words(name, row[name]) if name in row else "") for name in figures)
        yield ROW.format(row["setting"], row["seeds"], f"{row['seconds']:.0f}") + cells


def in_words(name: str, figure: dict[str, Any]) -> str:
    pattern = "{:.0%} [{:.0%}, {:.0%}]" if name in SHARES else "{:+.3f} [{:+.3f}, {:+.3f}]"
    return pattern.format(figure["value"], figure["low"], figure["high"])

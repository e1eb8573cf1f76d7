"""What the page of a tuning shows of its guards."""

from __future__ import annotations

from typing import Any

from refl.learning.looks import HELD_OUT, TUNED
from refl.models import Generator, TuningRun
from rewardmodel.selectors import Curve, curves

PREFIX = "guards/"  # of the guards' curves among a run's
LABELS = {
    TUNED: "reward it is tuned on",
    "diversity": "diversity over seeds",
    "drift": "drift from the untuned images",
    "dark_share": "dark share",
    "colour_entropy": "colour entropy, bits",
    "patch_grid": "patch-grid energy",
}
RATIOS = ("diversity", "colour_entropy", "patch_grid")  # drawn by the untuned generator's
SHARES = ("drift", "dark_share")


def guard_details(run: TuningRun, tuned: Generator | None) -> dict[str, Any] | None:
    """Return what `refl/guards.html` shows; None of a run that no guard looked at."""
    first = run.points.filter(step=0).first()
    if first is None:
        return None
    names = [name for name in first.values if name.startswith(PREFIX)]
    measured = {name.removeprefix(PREFIX): curve for name, curve in curves(run, *names).items()}
    rewards = [name for name in measured if name == TUNED or name.startswith(HELD_OUT)]
    outcome: dict[str, Any] = (tuned.metrics.get("guards") if tuned else None) or {}
    marks = _marks(outcome)
    return {
        "outcome": outcome,
        "rows": _rows(outcome),
        "charts": [
            _chart(
                "guard-rewards", "Rewards on the guards' prompts", {n: measured[n] for n in rewards}, marks
            ),
            _chart(
                "guard-ratios",
                "Relative to the untuned generator, where 1 is unchanged",
                {name: _relative(measured[name]) for name in RATIOS if name in measured},
                marks,
            ),
            _chart(
                "guard-shares",
                "Drift and dark share",
                {name: measured[name] for name in SHARES if name in measured},  # what is not finite has none
                marks,
            ),
        ],
    }


def _chart(
    identifier: str, label: str, series: dict[str, Curve], marks: list[dict[str, Any]]
) -> dict[str, Any]:
    return {
        "id": identifier,
        "label": label,
        "x": "update",
        "format": "0.00",
        "series": [
            {"name": label_of(name).partition(",")[0], "points": curve} for name, curve in series.items()
        ],
        "marks": marks,
    }


def _relative(curve: Curve) -> Curve:
    """The curve by its first value; nothing where that is 0."""
    first = curve[0][1]
    return [(step, value / first) for step, value in curve] if first else []


def _marks(outcome: dict[str, Any]) -> list[dict[str, Any]]:
    """Vertical lines in the charts: what was kept, and the alarm."""
    marks = []
    if outcome.get("best"):
        marks.append({"x": outcome["best"], "label": "kept", "tone": "good"})
    if outcome.get("alarm"):
        marks.append({"x": outcome["alarm"]["step"], "label": "alarm", "tone": "bad"})
    return marks


def _rows(outcome: dict[str, Any]) -> list[dict[str, Any]]:
    alarm, base = (outcome.get("alarm") or {}).get("figure"), outcome.get("base", {})
    held_out = sorted(name for name in base if name.startswith(HELD_OUT))
    order = [TUNED, *held_out, *(name for name in LABELS if name != TUNED)]
    return [
        {
            "label": label_of(name),
            "is_held_out": name.startswith(HELD_OUT),
            "base": base[name],
            "kept": outcome["figures"][name],
            "last": outcome["last"][name],
            "is_alarm": name == alarm,
        }
        for name in order
        if name in base
    ]


def label_of(figure: str) -> str:
    """Return a figure's name for people."""
    return LABELS.get(figure, figure.removeprefix(HELD_OUT))

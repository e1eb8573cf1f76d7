"""What the page of a tuning shows of its guards."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from refl.learning.looks import HELD_OUT, TUNED, Look, interval_beside
from refl.learning.outcomes import Stage, outcome
from refl.models import Generator, TuningRun
from rewardmodel.selectors import Curve

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


def guard_details(
    run: TuningRun,
    curves: Mapping[str, Curve],
    looks: Sequence[Look],
    stages: Sequence[Stage],
    tuned: Generator | None,
) -> dict[str, Any] | None:
    """Return what `refl/guards.html` shows; None of a run that no guard looked at.

    Args:
        curves: all of the run's.
        looks, stages: of the run so far; none where its folder has none any more.
    """
    measured = {name.removeprefix(PREFIX): curves[name] for name in curves if name.startswith(PREFIX)}
    if not measured:
        return None
    rewards = [name for name in measured if name == TUNED or name.startswith(HELD_OUT)]
    summary = _outcome(run, looks, stages, tuned)
    is_final = _is_finished(run) or bool(tuned and tuned.metrics)
    choice = "kept" if is_final else "best so far"
    marks = _marks(summary, choice)

    def series(names: Sequence[str], *, is_ratio: bool = False) -> list[dict[str, Any]]:
        return [
            {
                "name": label_of(name).partition(",")[0],
                "points": _relative(measured[name]) if is_ratio else measured[name],
                "dots": True,
                "band": _band(looks, name, is_ratio=is_ratio),
            }
            for name in names
            if name in measured  # what is not finite has no curve
        ]

    return {
        "outcome": summary,
        "sentence": summary.get("sentence", ""),
        "choice": choice,
        "looks": _looks(summary, choice),
        "rows": _rows(summary),
        "charts": [
            _chart("guard-rewards", "Rewards on the guards' prompts", series(rewards), marks),
            _chart(
                "guard-ratios",
                "Relative to the untuned generator, where 1 is unchanged",
                series(RATIOS, is_ratio=True),
                marks,
            ),
            _chart("guard-shares", "Drift and dark share", series(SHARES), marks),
        ],
    }


def held_out_series(curves: Mapping[str, Curve], looks: Sequence[Look]) -> dict[str, Any]:
    """Return the reward that is tuned on, on the guards' prompts, as a series beside the training's."""
    points = curves.get(PREFIX + TUNED, [])
    return {"name": "on the guards' prompts", "points": points, "dots": True, "band": _band(looks, TUNED)}


def _band(looks: Sequence[Look], figure: str, *, is_ratio: bool = False) -> list[tuple[int, float, float]]:
    """Return at each look the interval of the figure's change since the first, over prompts."""
    intervals = [
        (look.step, interval_beside(looks[0], look, figure, is_ratio=is_ratio))
        for look in looks
        if figure in look.values
    ]
    return [(step, change.low, change.high) for step, change in intervals if change is not None]


def _outcome(
    run: TuningRun, looks: Sequence[Look], stages: Sequence[Stage], tuned: Generator | None
) -> dict[str, Any]:
    """Return the outcome that the run's generator was judged with, else that of the looks so far, if any."""
    judged: dict[str, Any] | None = tuned.metrics.get("guards") if tuned else None
    if judged is not None:
        return judged
    if not looks or looks[-1].step == 0:
        return {}
    so_far = outcome(looks, stages)
    return {**so_far.to_dict(), "sentence": so_far.sentence(is_over=_is_finished(run))}


def _is_finished(run: TuningRun) -> bool:
    """Whether it has a result; one that failed or was cancelled has none yet, and may go on."""
    return bool(run.state == TuningRun.State.FINISHED)


def _chart(
    identifier: str, label: str, series: list[dict[str, Any]], marks: list[dict[str, Any]]
) -> dict[str, Any]:
    return {
        "id": identifier,
        "label": label,
        "x": "update",
        "format": "0.00",
        "series": series,
        "marks": marks,
    }


def _relative(curve: Curve) -> Curve:
    """The curve by its first value; nothing where that is 0."""
    first = curve[0][1]
    return [(step, value / first) for step, value in curve] if first else []


def _marks(summary: dict[str, Any], choice: str) -> list[dict[str, Any]]:
    """Vertical lines in the charts: what was kept, and the alarm."""
    marks = []
    if summary.get("best"):
        marks.append({"x": summary["best"], "label": choice, "tone": "good"})
    if summary.get("alarm"):
        marks.append({"x": summary["alarm"]["step"], "label": "alarm", "tone": "bad"})
    return marks


def _looks(summary: dict[str, Any], choice: str) -> list[dict[str, Any]]:
    """Columns of the table: the untuned generator, the best look and the last, each once."""
    if not summary:
        return []
    columns: dict[int, list[str]] = {}
    for step, label in ((0, "untuned"), (summary["step"], "last"), (summary["best"], choice)):
        columns.setdefault(step, []).append(label)
    return [{"step": step, "label": ", ".join(labels)} for step, labels in sorted(columns.items())]


def _rows(summary: dict[str, Any]) -> list[dict[str, Any]]:
    """Rows of the table: each figure at those looks."""
    alarm, base = (summary.get("alarm") or {}).get("figure"), summary.get("base", {})
    held_out = sorted(name for name in base if name.startswith(HELD_OUT))
    order = [TUNED, *held_out, *(name for name in LABELS if name != TUNED)]
    by_step = {}
    if summary:
        by_step = {0: base, summary["best"]: summary["figures"], summary["step"]: summary["last"]}
    return [
        {
            "label": label_of(name),
            "is_held_out": name.startswith(HELD_OUT),
            "values": [figures[name] for _, figures in sorted(by_step.items())],
            "is_alarm": name == alarm,
        }
        for name in order
        if name in base
    ]


def label_of(figure: str) -> str:
    """Return a figure's name for people."""
    return LABELS.get(figure, figure.removeprefix(HELD_OUT))

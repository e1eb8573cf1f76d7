"""What a tuning's guards saw, and what follows: an alarm, which weights are best, when to stop.

All of it is decided by the looks alone, so a resumed run decides as one that was never interrupted.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import reduce
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from annotation.statistics import notation
from annotation.statistics.estimates import ENOUGH_PROMPTS, resample
from rewardmodel.learning.saving import write_whole

LOOKS = "guards.jsonl"  # in a run's folder
TUNED = "tuned_reward"  # the figure that is pushed; it raises no alarm
HELD_OUT = "held_out/"  # before the name of a reward that is not tuned on

# Of each limit: whether the figure is compared with the base's by its difference or its ratio, and whether a
# fall or a rise is bad. The limits themselves are `config.GUARD_LIMITS`.
COMPARISONS = {
    "held_out": ("difference", "fall"),
    "diversity": ("ratio", "fall"),
    "colour_entropy": ("ratio", "fall"),
    "dark_share": ("difference", "rise"),
    "patch_grid": ("ratio", "rise"),
    "drift": ("difference", "rise"),
}
# Ours: looks at one run come again and again, so each is asked for more than the usual 95 %.
CONFIDENCE = 0.98
ERRORS = 2.33  # standard errors on either side that leave out as much


@dataclass(frozen=True)
class Change:
    """How a figure stands to the base's, and the interval of that over prompts."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Alarm:
    """A figure that went further than chance and its limit allow.

    Attributes:
        figure: its name in `Look.values`.
        step: updates done.
        base, value: its means over prompts, of the untuned generator and at that step.
        change: of the two, as `comparison` ("difference" or "ratio") has it, with its interval.
        direction: "fall" or "rise".
        limit: what the change may come to.
        tuned: how the reward that is tuned on changed meanwhile; None where none was given.
    """

    figure: str
    step: int
    base: float
    value: float
    change: Change
    comparison: str
    direction: str
    limit: float
    tuned: float | None

    def __str__(self) -> str:
        moved = {"fall": "fell", "rise": "rose"}[self.direction]
        is_reward = self.figure.startswith(HELD_OUT)
        name = self.figure.removeprefix(HELD_OUT)
        what = f"held-out reward {name}" if is_reward else name.replace("_", " ")
        base, value = notation.significant(self.base), notation.significant(self.value)
        said = f"{what} {moved} from {base} to {value} by update {self.step}"
        if self.tuned is None:
            return said
        meanwhile = "rose" if self.tuned > 0 else "did not rise"
        return f"{said}, while the reward it is tuned on {meanwhile} ({notation.signed(self.tuned)})"


@dataclass(frozen=True)
class Look:
    """What the guards saw after `step` updates.

    Attributes:
        values: figure -> its value for each prompt, in the order of the guards' prompts.
        seconds: what the look took.
        alarm: None while all is well.
        stage: of the run, from 1.
    """

    step: int
    values: Mapping[str, tuple[float, ...]]
    seconds: float
    alarm: Alarm | None = None
    stage: int = 1

    @property
    def figures(self) -> dict[str, float]:
        """The mean of each figure over prompts."""
        return {name: float(np.mean(values)) for name, values in self.values.items()}

    @property
    def measures(self) -> dict[str, float]:
        """What there is a curve of, by name."""
        return {f"guards/{name}": value for name, value in {**self.figures, "seconds": self.seconds}.items()}


def find_alarm(
    base: Look, step: int, values: Mapping[str, Sequence[float]], limits: Mapping[str, float]
) -> Alarm | None:
    """Return the alarm of the figure that is furthest beyond its limit, or None.

    A figure raises it when the whole interval of its change from the base lies beyond its limit; of fewer
    than 10 prompts no interval is taken, and no alarm is raised. A held-out reward raises it only while the
    reward that is tuned on is above the base's. Where that fell too, nothing is being hacked: at the height
    of the learning rate all rewards may fall, and come back as it does; patience ends what does not.

    Args:
        values: figure -> for each prompt, in the same order as the base's.
        limits: as `config.GUARD_LIMITS`.
    """
    tuned = float(np.mean(values[TUNED]) - np.mean(base.values[TUNED])) if TUNED in values else None
    alarms = []
    for figure, after in values.items():
        is_held_out = figure.startswith(HELD_OUT)
        key = HELD_OUT.rstrip("/") if is_held_out else figure
        if key not in COMPARISONS or (is_held_out and tuned is not None and tuned <= 0):
            continue
        comparison, direction = COMPARISONS[key]
        before, limit = base.values[figure], limits[key]
        change = compare(before, after, comparison)
        if change is None:
            continue
        excess = limit - change.high if direction == "fall" else change.low - limit
        if excess > 0:
            width = max(change.high - change.low, 1e-12)
            means = float(np.mean(before)), float(np.mean(after))
            alarm = Alarm(figure, step, *means, change, comparison, direction, limit, tuned)
            alarms.append((excess / width, alarm))
    return max(alarms, key=lambda each: each[0])[1] if alarms else None


def compare(before: Sequence[float], after: Sequence[float], comparison: str) -> Change | None:
    """Compare the means of a figure, paired by prompt, with a percentile bootstrap over prompts.

    Args: before, after: (B,); comparison: "difference" or "ratio".
    Returns: None for a ratio to nothing, and with fewer than 10 prompts.
    Source: Efron and Tibshirani, An Introduction to the Bootstrap, 1993, chapters 8 and 13.
    """
    first, second = np.asarray(before, np.float64), np.asarray(after, np.float64)  # (B,)
    if len(first) < ENOUGH_PROMPTS or (comparison == "ratio" and not first.mean() > 0):
        return None
    rows = np.concatenate(list(resample(len(first), seed=0)))  # (draws, B)
    means = first[rows].mean(1), second[rows].mean(1)  # (draws,) each
    drawn = means[1] - means[0] if comparison == "difference" else means[1] / np.maximum(means[0], 1e-12)
    value = second.mean() - first.mean() if comparison == "difference" else second.mean() / first.mean()
    low, high = np.quantile(drawn, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return Change(float(value), float(low), float(high))


def held_out_moves(before: Look, after: Look) -> dict[str, int]:
    """Return for each held-out reward 1 where it rose, -1 where it fell, 0 where chance explains it.

    Chance explains a difference within 2.33 standard errors, paired by prompt; with fewer than 10 prompts
    none.
    """
    moves = {}
    for name in held_out_figures(before):
        differences = np.subtract(after.values[name], before.values[name])  # (B,)
        mean, noise = differences.mean(), margin(differences) or 0.0
        moves[name] = int(mean > noise) - int(mean < -noise)
    return moves


def margin(values: NDArray[np.float64]) -> float | None:
    """Return what chance explains of a mean over prompts, to either side: 2.33 standard errors.

    Args: values: (B,).
    Returns: None with fewer than 10 prompts.
    """
    if len(values) < ENOUGH_PROMPTS:
        return None
    return float(ERRORS * values.std(ddof=1) / np.sqrt(len(values)))


def interval_beside(base: Look, look: Look, figure: str, *, is_ratio: bool = False) -> Change | None:
    """Return a figure at a look, with the 98 % interval of how it stands to the base's over the same prompts.

    Args: is_ratio: whether to return the ratio of the two, not the figure.
    Returns: None with fewer than 10 prompts, for a ratio to nothing, and where a value is not finite.
    Source: Cochran, Sampling Techniques, 1977, section 6.4, for the ratio.
    """
    before, after = np.asarray(base.values[figure]), np.asarray(look.values[figure])  # (B,) each
    unit, value = 1.0, float(after.mean())
    if is_ratio:
        unit = float(before.mean())
        if not unit > 0:
            return None
        value /= unit
    noise = margin(after - (value if is_ratio else 1.0) * before)
    if noise is None or not np.isfinite(noise):
        return None
    return Change(value, value - noise / unit, value + noise / unit)


def held_out_figures(look: Look) -> list[str]:
    """Return the figures that are rewards which are not tuned on."""
    return [name for name in look.values if name.startswith(HELD_OUT)]


def replaces_best(look: Look, best: Look, base: Look) -> bool:
    """Whether the weights of a look are to be kept in place of those of the best look before it.

    They are if it raised no alarm, no held-out reward fell from the untuned generator's, and more held-out
    rewards rose from the best look's than fell. Where as many rose as fell, the reward that is tuned on
    decides. Without a held-out reward nothing speaks against a newer look.

    Args: base: of the untuned generator.
    """
    if look.alarm is not None or -1 in held_out_moves(base, look).values():
        return False
    moves = held_out_moves(best, look).values()
    if sum(moves) or not moves:
        return sum(moves) >= 0
    return bool(np.mean(look.values[TUNED]) > np.mean(best.values[TUNED]))


def best_look(looks: Sequence[Look]) -> Look:
    """Return the look whose weights are to be kept, of looks of which the first is the untuned generator's.

    Each is compared with the best before it alone (`replaces_best`), as older weights are gone.
    """
    return reduce(lambda best, look: look if replaces_best(look, best, looks[0]) else best, looks)


def stop_reason(looks: Sequence[Look], best: Look, patience: int) -> str:
    """Say why the stage is to end after the last of the looks; "" when it is not.

    Args:
        best: of the looks.
        patience: looks of a stage in a row without a better one that end it; 0 for any number.
    """
    alarm = looks[-1].alarm
    if alarm is not None:
        return str(alarm)
    since = sum(look.step > best.step and look.stage == looks[-1].stage for look in looks[1:])
    if patience and since >= patience:
        better = "the untuned generator" if best.step == 0 else f"update {best.step}"
        worse = "a look was" if since == 1 else f"{since} looks in a row were"
        return f"{worse} no better than {better} by the held-out rewards"
    return ""


def write_looks(file: Path, looks: Sequence[Look]) -> None:
    """Store the looks, a line each. Raises: NotSaved."""
    with write_whole(file) as partial:
        partial.write_text("".join(json.dumps(asdict(look)) + "\n" for look in looks), encoding="utf-8")


def read_looks(file: Path) -> list[Look]:
    """Return the stored looks; none where there is no file."""
    if not file.exists():
        return []
    return [_parse_look(json.loads(line)) for line in file.read_text(encoding="utf-8").splitlines()]


def _parse_look(stored: dict[str, Any]) -> Look:
    alarm = stored["alarm"]
    if alarm is not None:
        alarm = Alarm(**{**alarm, "change": Change(**alarm["change"])})
    values = {name: tuple(values) for name, values in stored["values"].items()}
    return Look(stored["step"], values, stored["seconds"], alarm, stored["stage"])

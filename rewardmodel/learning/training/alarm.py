"""What says of a run that is over that it learned nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import fmean

CHANCE = 0.5  # share of pairs that a coin orders right
QUARTERS = 4  # ours: the loss over the last quarter of the steps is held against that over the first


def find_alarm(points: Sequence[tuple[int, Mapping[str, float]]]) -> str:
    """Say in one sentence why it is doubtful that a run learned anything; "" where it is not.

    It is where the interval of the last validation's accuracy reaches down to 1/2, and where the loss of the
    batches is no lower over the last quarter of the steps than over the first.

    Args: points: of every step, what it measured, by name.
    """
    reasons = [reason for reason in (_explain_accuracy(points), _explain_loss(points)) if reason]
    return f"This run shows no sign of having learned: {', and '.join(reasons)}." if reasons else ""


def _explain_accuracy(points: Sequence[tuple[int, Mapping[str, float]]]) -> str:
    last = next((values for _, values in reversed(points) if "validation_accuracy_low" in values), None)
    if last is None or last["validation_accuracy_low"] > CHANCE:
        return ""
    accuracy, low, high = (100 * last[f"validation_accuracy{end}"] for end in ("", "_low", "_high"))
    return (
        f"at its end it orders {accuracy:.1f} % of the validation pairs right, "
        f"not surely more than a coin would (95 % interval {low:.1f} to {high:.1f} % over prompts)"
    )


def _explain_loss(points: Sequence[tuple[int, Mapping[str, float]]]) -> str:
    losses = [values["loss"] for _, values in points if "loss" in values]
    quarter = len(losses) // QUARTERS
    if quarter == 0:
        return ""
    first, last = fmean(losses[:quarter]), fmean(losses[-quarter:])
    if last < first:
        return ""
    return f"its loss did not fall: {first:.3f} over the first quarter of its steps, {last:.3f} over the last"

"""Filters that format the figures of models and runs. A missing value (in a template: "") stays empty."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from django import template

from annotation.statistics import notation
from annotation.statistics.estimates import Estimate
from rewardmodel.models.checkpoints import percentage
from rewardmodel.models.runs import Run

register = template.Library()


@register.filter
def percent(share: float | str | None) -> str:
    """0.625 -> 62.5 %."""
    return notation.percent(share) if isinstance(share, int | float) else ""


@register.filter
def reward(value: float | str | None) -> str:
    """-0.0748 -> -0.075."""
    return notation.decimals(value) if isinstance(value, int | float) else ""


@register.filter
def gain(difference: float | str | None) -> str:
    """0.041 -> +4.1, in points."""
    return notation.signed(difference * 100, 1) if isinstance(difference, int | float) else ""


@register.filter
def interval(bounds: Sequence[float] | None) -> str:
    """(0.58, 0.66) -> 58.0 to 66.0."""
    return "" if not bounds else notation.percent_interval(bounds[0], bounds[1])


@register.filter
def span(estimate: Mapping[str, float]) -> str:
    """{"low": 0.58, "high": 0.66} -> 58.0 to 66.0."""
    return interval((estimate["low"], estimate["high"]))


@register.filter
def gain_interval(bounds: Sequence[float] | None) -> str:
    """(-0.01, 0.09) -> -1.0 to +9.0."""
    return "" if not bounds else f"{gain(bounds[0])} to {gain(bounds[1])}"


@register.filter
def gain_span(lead: Estimate) -> str:
    """low -0.01, high 0.09 -> -1.0 to +9.0."""
    return gain_interval((lead.low, lead.high))


@register.filter
def is_clear(lead: Estimate) -> bool:
    """Whether the interval excludes 0: one of the two is better."""
    return lead.low > 0 or lead.high < 0


@register.filter
def likely(probability: float | str | None) -> str:
    """0.9472 -> 94.7 %; what is not quite certain is not called so."""
    return percentage(probability) if isinstance(probability, int | float) else ""


@register.filter
def verdict_tone(verdict: str) -> str:
    """The badge's colour for what was decided about promoting a model."""
    return {"better": "good", "waiting": "busy"}.get(verdict, "quiet")


@register.filter
def at(mapping: Mapping[Any, object], key: object) -> object:
    """Return the value of the key, or None."""
    return mapping.get(key)


@register.filter
def input_labels(runs: Iterable[Run]) -> list[str]:
    """Return the labels of what any of the runs works with, each once: runs of two kinds share a table."""
    return list(dict.fromkeys(label for run in runs for label in run.inputs.values()))


@register.filter
def mebibytes(count: int | str | None) -> str:
    """Bytes -> 512 MiB, or 3.2 GiB."""
    if not isinstance(count, int):
        return ""
    return f"{count / 2**30:.1f} GiB" if count >= 2**30 else f"{count / 2**20:.0f} MiB"

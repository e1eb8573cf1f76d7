"""Template filters for figures with intervals."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from django import template

from annotation.charts import Whisker, whisker
from annotation.models.axes import SCALE
from annotation.selectors.results.analysis import Group
from annotation.statistics import notation
from annotation.statistics.estimates import Estimate, NotEnough
from annotation.statistics.positions import CHANCE, PositionFigure

register = template.Library()


@register.filter
def value_in(figure: Estimate, unit: str) -> str:
    """0.653 -> 65.3 % where the unit is percent, 0.65 where it is plain, +0.65 where it is signed."""
    return f"{_format(figure.value, unit)} %" if unit == "percent" else _format(figure.value, unit)


@register.filter
def interval_in(figure: Estimate, unit: str) -> str:
    """0.61 and 0.7 -> 61.0 to 70.0, or 0.61 to 0.70."""
    return f"{_format(figure.low, unit)} to {_format(figure.high, unit)}"


@register.filter
def share(probability: float) -> str:
    """0.653 -> 65.3 %."""
    return notation.percent(probability)


@register.filter
def decimals(number: float) -> str:
    """0.254 -> 0.25."""
    return _format(number, "plain")


@register.simple_tag
def whisker_on(axis: tuple[float, float], figure: Estimate, mean: Estimate) -> Whisker:
    """Return the position of a mean rating on the axis, with that of all images as the mark."""
    return whisker(figure.low, figure.value, figure.high, mark=mean.value, axis=axis)


@register.filter
def along_shares(figure: Estimate, most: float) -> Whisker:
    """Return the position of a share on an axis from 0 to the highest one."""
    return whisker(figure.low, figure.value, figure.high, mark=0.0, axis=(0.0, most))


@register.filter
def against_chance(figure: Estimate, figures: Sequence[PositionFigure]) -> Whisker:
    """Return the position of a share among the others on an axis, with an even chance as the mark."""
    known = [place.preferred for place in figures if isinstance(place.preferred, Estimate)]
    low, high = min(CHANCE, *(end.low for end in known)), max(CHANCE, *(end.high for end in known))
    return whisker(figure.low, figure.value, figure.high, mark=CHANCE, axis=(low, high))


@register.filter
def highest(figures: Iterable[Estimate | NotEnough]) -> float:
    """Return the upper end of all intervals; 0 without any."""
    return max((figure.high for figure in figures if isinstance(figure, Estimate)), default=0.0)


@register.filter
def axis_of(groups: Sequence[Group], every: Group) -> tuple[float, float]:
    """Return the axis from the lowest to the highest end of all mean ratings."""
    scores = [score for group in (*groups, every) for score in group.scores if isinstance(score, Estimate)]
    low, high = (
        min((score.low for score in scores), default=SCALE[0]),
        max((score.high for score in scores), default=SCALE[1]),
    )
    return (low, high) if low < high else SCALE


def _format(number: float, unit: str) -> str:
    if unit == "signed":
        return notation.signed(number, 2)
    return notation.decimals(100 * number, 1) if unit == "percent" else notation.decimals(number, 2)


@register.filter
def percent(share: float | None) -> str:
    """A share from 0 to 1 as a whole percentage; a dash for None."""
    return "–" if share is None else notation.percent(share, 0)  # noqa: RUF001  # an en dash is meant


@register.filter
def share_of(part: float | None, whole: float | None) -> str:
    """`part` of `whole` as a percentage; a dash if there is no whole."""
    return percent((part or 0) / whole if whole else None)


@register.filter
def duration(seconds: float | str | None) -> str:
    """Seconds -> 42 s, 3 min 12 s, or 2 h 5 min. A missing value (in a template: "") stays empty."""
    if not isinstance(seconds, int | float):
        return ""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"

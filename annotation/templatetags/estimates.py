"""How figures with intervals are written on pages."""

from __future__ import annotations

from django import template

from annotation.statistics.estimates import Estimate

register = template.Library()
MINUS = "\N{MINUS SIGN}"


@register.filter
def value_in(figure: Estimate, unit: str) -> str:
    """0.653 -> 65.3 % where the unit is percent, 0.65 where it is plain, +0.65 where it is signed."""
    return f"{_written(figure.value, unit)} %" if unit == "percent" else _written(figure.value, unit)


@register.filter
def interval_in(figure: Estimate, unit: str) -> str:
    """0.61 and 0.7 -> 61.0 to 70.0, or 0.61 to 0.70."""
    return f"{_written(figure.low, unit)} to {_written(figure.high, unit)}"


@register.filter
def share(probability: float) -> str:
    """0.653 -> 65.3 %."""
    return f"{_written(probability, 'percent')} %"


@register.filter
def decimals(number: float) -> str:
    """0.254 -> 0.25."""
    return _written(number, "plain")


def _written(number: float, unit: str) -> str:
    text = {"percent": f"{100 * number:.1f}", "plain": f"{number:.2f}", "signed": f"{number:+.2f}"}[unit]
    return text.replace("-", MINUS)

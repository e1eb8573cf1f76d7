"""Filters of what a reward beside an image says."""

from __future__ import annotations

from django import template

from annotation.statistics import notation

register = template.Library()


@register.filter
def signed(reward: float) -> str:
    """-0.0748 -> \N{MINUS SIGN}0.075."""
    return notation.decimals(reward)


@register.filter
def ordinal_percentile(percentile: float) -> str:
    """73.6 -> 74th; from 1st to 99th, as no image is above itself."""
    number = min(99, max(1, round(percentile)))
    ending = "th" if 11 <= number <= 13 else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number}{ending}"


@register.filter
def chance(probability: float) -> str:
    """0.663 -> 66 %; none is certain."""
    return f"{min(99, max(1, round(probability * 100)))} %"

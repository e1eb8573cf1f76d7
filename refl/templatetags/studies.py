"""Filters for pages of studies."""

from __future__ import annotations

from django import template

from annotation.statistics import notation
from annotation.statistics.estimates import Interval
from refl.models import Study
from refl.selectors.study_figures import StudyCounts

register = template.Library()
VERDICTS = {
    "better": ("preferred", "good"),
    "worse": ("not preferred", "bad"),
    "equal": ("no difference", "quiet"),
    "open": ("undecided", "busy"),
}


@register.filter
def tone(study: Study) -> str:
    """Return the badge of the study's state."""
    return {Study.State.DRAWING: "busy", Study.State.OPEN: "busy", Study.State.CLOSED: "quiet"}[
        Study.State(study.state)
    ]


@register.filter
def verdict(name: str) -> str:
    """Return what is said of a generator: "better" -> preferred."""
    return VERDICTS[name][0]


@register.filter
def verdict_tone(name: str) -> str:
    return VERDICTS[name][1]


@register.filter
def bounds(interval: Interval) -> str:
    """Return the ends in percent: 52.1 to 67.9 %."""
    return f"{notation.percent_interval(interval.low, interval.high)} %"


@register.filter
def hours(number: float) -> str:
    """0.4 -> 24 min, 2.43 -> 2.4 h, 31.2 -> 31 h."""
    if number < 1:
        return f"{max(60 * number, 1):.0f} min"
    return f"{number:.1f} h" if number < 10 else f"{number:,.0f} h"


@register.filter
def days(number: float) -> str:
    """0.3 -> less than a day, 1.2 -> 2 days."""
    return "less than a day" if number < 1 else f"{-(-number // 1):,.0f} days"


@register.filter
def opinions(counts: StudyCounts) -> str:
    return f"{counts.answered:,} of {counts.wanted:,}"


@register.filter
def waits_for(counts: StudyCounts) -> str:
    """Return what opinions there are to come: "40 to be taken up, 2 in hand"."""
    parts = [
        f"{count:,} {words}"
        for count, words in (
            (counts.waiting, "to be taken up"),
            (counts.in_hand, "in hand"),
            (counts.under_review, "under review"),
        )
        if count
    ]
    return ", ".join(parts) or "nothing"

"""What the templates of `components/` draw: curves and intervals."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta


@dataclass(frozen=True)
class Whisker:
    """Where a figure, the ends of its interval and a mark to compare with lie on an axis, from 0 to 100."""

    low: float
    value: float
    high: float
    zero: float


def by_day(
    counts: Mapping[date, int], *, first: date, last: date, id: str, label: str, name: str
) -> dict[str, object]:
    """A curve of counts over the days from first to last, those without any included."""
    days = [first + timedelta(days=number) for number in range((last - first).days + 1)]
    points = [[number, counts.get(day, 0)] for number, day in enumerate(days)]
    return {
        "id": id,
        "label": label,
        "x": "day",
        "ends": [f"{first:%-d %b}", f"{last:%-d %b}"],
        "format": "0",
        "series": [{"name": name, "points": points if counts else []}],
    }

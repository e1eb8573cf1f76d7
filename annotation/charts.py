"""Data for the charts in `components/`: curves and intervals."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta


@dataclass(frozen=True)
class Whisker:
    """Positions on an axis, from 0 to 100, of a figure, the ends of its interval and a reference mark."""

    low: float
    value: float
    high: float
    mark: float


def whisker(low: float, value: float, high: float, *, mark: float, axis: tuple[float, float]) -> Whisker:
    """Place a figure with its interval and a mark on an axis, all in the figure's unit.

    Args: axis: its ends, the lower first; where they are the same, everything lies at 0.
    """
    left, right = axis
    width = (right - left) or 1.0
    return Whisker(*(round(100 * (end - left) / width, 1) for end in (low, value, high, mark)))


def by_day(
    counts: Mapping[date, int], *, first: date, last: date, id: str, label: str, name: str
) -> dict[str, object]:
    """Return a curve of counts over the days from first to last, including days without any."""
    days = [first + timedelta(days=number) for number in range((last - first).days + 1)]
    points = [[number, counts.get(day, 0)] for number, day in enumerate(days)]
    return {
        "id": id,
        "label": label,
        "x": "day",
        "ends": [f"{first:%-d %b}", f"{last:%-d %b}"],
        "names": [f"{day:%-d %b}" for day in days],
        "format": "0",
        "series": [{"name": name, "points": points if counts else []}],
    }

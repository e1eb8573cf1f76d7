"""Line charts: where everything of one lies, in percent of its plane, for `components/chart.html`.

A view describes a chart as a dict:

- `id`, `label`, and `x`, what its horizontal axis counts;
- `series`, each `{"name", "points": [[x, y], ...]}`, a y of None being left out. With `"smooth": True` the
  points are drawn faint below a smooth line through them; with `"dots": True` each is marked; `"band"`, if
  there is one, is `[[x, low, high], ...]`. With `"apart": True` the points are figures each for itself: they
  are marked and not joined, each with its interval as a bar;
- `format`: "0.000" for as many decimals, "%" for a share in percent, absent for four digits;
- `ends`, if numbers would not do: what the horizontal axis says at its ends; `names`, if "day 3" would not:
  what each whole x is called, from 0;
- `marks`, vertical lines: `{"x", "label", "tone"}`, the tone "good" or "bad"; `level`, a y with a horizontal
  line.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from annotation.statistics import notation
from annotation.statistics.smoothing import smooth

COLOURS = 4  # of series, each with its own dashes
APART = 8  # pixels between series whose points are apart, so that none hides another
TICKS = 4  # about so many
FENCE = 3.0  # interquartile ranges beyond the quartiles: Tukey's outer fences, EDA, 1977, section 2D
CARETS = 50  # places along the axis for what lies beyond it, at most one caret at each

Floats = NDArray[np.float64]
Place = Callable[[float], float]


@dataclass(frozen=True)
class Line:
    """A series, placed. Paths are in thousandths of the plane, the rest in percent of it.

    Attributes:
        number: from 1, of its colour and dashes.
        curve: the path of its line, smooth if it was to be.
        raw: of its points as they are, where a smooth line is drawn over them; else "".
        band: of its interval, "" without one.
        bars: of intervals drawn each for itself: x, upper and lower end.
        dots: its points, where each is marked.
        shift: of its dots and bars, in pixels to the right.
        above, below: where points lie beyond the vertical axis.
        readings: of each point x, what is drawn there in words, and what is said beside it.
    """

    name: str
    number: int
    curve: str
    raw: str = ""
    band: str = ""
    bars: list[tuple[float, float, float]] = field(default_factory=list)
    dots: list[tuple[float, float]] = field(default_factory=list)
    shift: float = 0.0
    above: list[float] = field(default_factory=list)
    below: list[float] = field(default_factory=list)
    readings: list[tuple[float, str, str]] = field(default_factory=list)

    @property
    def value(self) -> str:
        """The newest, in words."""
        return self.readings[-1][1]

    @property
    def note(self) -> str:
        """What is said beside it."""
        return self.readings[-1][2]

    @property
    def newest(self) -> str:
        """All that is said of it."""
        return " ".join(part for part in (self.name, self.value, self.note) if part)


@dataclass(frozen=True)
class Mark:
    """A named vertical line, at `x` percent. Its name is left of it where `is_right`, `y` pixels down."""

    x: float
    label: str
    tone: str
    is_right: bool
    y: int


@dataclass(frozen=True)
class Drawing:
    """A chart, placed.

    Attributes:
        ticks: of the vertical axis, each its place and words.
        start, end: what the horizontal axis says at its ends.
        level: where a horizontal line lies, None without one.
        summary: what is drawn, for who hears it.
        readings: what js/chart.js says at each point, fit for JSON.
    """

    lines: list[Line]
    ticks: list[tuple[float, str]] = field(default_factory=list)
    start: str = ""
    end: str = ""
    level: float | None = None
    marks: list[Mark] = field(default_factory=list)
    summary: str = ""
    readings: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class _Curve:
    """A series of a chart, of points with a y.

    Attributes:
        smooth: None where no smooth line is drawn.
        shift: of a series whose points are apart, in pixels to the right; None where they are joined.
    """

    name: str
    number: int
    x: Floats  # (N,)
    y: Floats  # (N,)
    smooth: Floats | None  # (N,)
    band: Floats  # (M, 3): x, low, high
    has_dots: bool
    shift: float | None

    @property
    def shown(self) -> Floats:
        """The heights of the line that counts."""
        return self.y if self.smooth is None else self.smooth


def draw(chart: Mapping[str, Any]) -> Drawing:
    """Place a chart; one without a point has no lines.

    The vertical axis holds every smooth line and interval, and of what is drawn faint below a smooth line all
    but its outliers: one spike must not flatten the rest.
    """
    # 1. The curves, and the axes that hold them
    middle = (len(chart["series"]) - 1) / 2
    curves = [
        curve
        for number, series in enumerate(chart["series"])
        if len((curve := _curve(series, number % COLOURS + 1, shift=APART * (number - middle))).x)
    ]
    if not curves:
        return Drawing([])
    first = min(float(curve.x[0]) for curve in curves)
    last = max(float(curve.x[-1]) for curve in curves)
    room = 0.5 if any(curve.shift is not None for curve in curves) else 0.0  # beside the outermost bars
    left, right = first - room, last + room
    level = chart.get("level")
    marks = ticks(*_extent(curves, level), wanted=TICKS)
    low, high = marks[0], marks[-1]

    def across(x: float) -> float:
        return 100 * (x - left) / (right - left) if right > left else 0.0

    def down(y: float) -> float:
        return 100 * (high - y) / (high - low)

    # 2. Everything at its place on them
    write = _formatter(chart.get("format"))
    write_tick = _tick_formatter(chart.get("format"), marks[1] - marks[0])
    unit, names = chart.get("x") or "", chart.get("names")

    def name(x: float) -> str:
        return str(names[int(x)]) if names else f"{unit} {_number(x)}"

    start, end = chart.get("ends") or ((_number(first), name(last)) if first < last else (name(last), ""))
    lines = [_place(curve, across, down, write) for curve in curves]
    named = chart.get("marks") or []
    newest = [f"{line.newest} at {name(line.readings[-1][0])}" for line in lines]
    return Drawing(
        lines,
        ticks=[(_round(down(mark)), write_tick(mark)) for mark in marks],
        start=start,
        end=end,
        level=None if level is None else _round(down(level)),
        marks=[_place_mark(mark, row, across) for row, mark in enumerate(named)],
        summary=", ".join([*newest, *(f"{mark['label']} at {unit} {mark['x']}" for mark in named)]),
        readings={
            "label": chart["label"],
            "steps": _steps(curves, across, name),
            "series": [{"name": line.name, "points": line.readings} for line in lines],
        },
    )


def ticks(low: float, high: float, *, wanted: int) -> list[float]:
    """Return round numbers (1, 2 or 5 times a power of ten) from below low to above high, about `wanted`."""
    span = (high - low) or abs(high) or 1.0
    power = 10 ** math.floor(math.log10(span / wanted))
    step = next(n * power for n in (1, 2, 5, 10) if n * power >= span / wanted * (1 - 1e-9))
    first = math.floor(low / step)
    last = max(first + 1, math.ceil(high / step - 1e-9))
    return [n * step for n in range(first, last + 1)]


def _curve(series: Mapping[str, Any], number: int, *, shift: float) -> _Curve:
    points = np.array([(x, y) for x, y in series["points"] if y is not None], np.float64).reshape(-1, 2)
    x, y = points.T
    band = np.array(series.get("band") or [], np.float64).reshape(-1, 3)
    return _Curve(
        series["name"],
        number,
        x,
        y,
        smooth(x, y) if series.get("smooth") else None,
        band[np.isin(band[:, 0], x)],
        bool(series.get("dots") or series.get("apart")) or len(x) == 1,
        shift if series.get("apart") else None,
    )


def _extent(curves: Sequence[_Curve], level: float | None) -> tuple[float, float]:
    """Return the lowest and the highest value that the vertical axis must hold."""
    heights = [curve.shown for curve in curves] + [curve.band[:, 1:].ravel() for curve in curves]
    heights += [_within_fences(curve.y) for curve in curves if curve.smooth is not None]
    held = np.concatenate([*heights, [] if level is None else [level]])
    return float(held.min()), float(held.max())


def _within_fences(values: Floats) -> Floats:
    """Return the values but the far outliers; all of them where most are equal."""
    low, high = np.percentile(values, [25, 75])
    reach = FENCE * (high - low)
    if reach == 0:
        return values
    return np.compress((values >= low - reach) & (values <= high + reach), values)


def _steps(
    curves: Sequence[_Curve], across: Place, name: Callable[[float], str]
) -> list[tuple[float, float, str]]:
    """Return of each x with a point: x, its place, and what it is called."""
    steps = np.unique(np.concatenate([curve.x for curve in curves])).tolist()
    return [(x, _round(across(x)), name(x)) for x in steps]


def _place(curve: _Curve, across: Place, down: Place, write: Callable[[float], str]) -> Line:
    places = [(across(x), down(y)) for x, y in zip(curve.x, curve.shown, strict=True)]
    raw = [(across(x), down(y)) for x, y in zip(curve.x, curve.y, strict=True)]
    intervals = [(across(x), down(low), down(high)) for x, low, high in curve.band]
    is_joined = curve.shift is None
    return Line(
        curve.name,
        curve.number,
        curve=_path(places) if len(places) > 1 and is_joined else "",
        raw="" if curve.smooth is None else _path(raw),
        band=_outline(intervals) if is_joined else "",
        bars=[] if is_joined else [(_round(x), _round(high), _round(low)) for x, low, high in intervals],
        shift=curve.shift or 0.0,
        dots=[(_round(x), _round(y)) for x, y in places] if curve.has_dots else [],
        above=_carets([x for x, y in raw if y < 0]),
        below=_carets([x for x, y in raw if y > 100]),
        readings=_readings(curve, write),
    )


def _readings(curve: _Curve, write: Callable[[float], str]) -> list[tuple[float, str, str]]:
    """Return of each point x, what is drawn there, and beside it the raw value or the interval."""
    bounds = {x: f"({write(low)} to {write(high)})" for x, low, high in curve.band}
    if curve.smooth is None:
        return [(x, write(y), bounds.get(x, "")) for x, y in zip(curve.x.tolist(), curve.y, strict=True)]
    raw = [f"(raw {write(y)})" for y in curve.y]
    return [(x, write(y), note) for x, y, note in zip(curve.x.tolist(), curve.smooth, raw, strict=True)]


def _place_mark(mark: Mapping[str, Any], row: int, across: Place) -> Mark:
    x = min(max(across(mark["x"]), 0.0), 100.0)
    return Mark(_round(x), mark["label"], mark["tone"], is_right=x > 60, y=10 + 14 * row)


def _path(places: Sequence[tuple[float, float]]) -> str:
    return "M" + "L".join(f"{10 * x:.0f} {10 * y:.0f}" for x, y in places)


def _outline(band: Sequence[tuple[float, float, float]]) -> str:
    """Return the path around an interval: to the right along its upper ends, and back along the lower."""
    if not band:
        return ""
    there = [(x, high) for x, _, high in band]
    back = [(x, low) for x, low, _ in reversed(band)]
    return f"{_path([*there, *back])}Z"


def _carets(places: Sequence[float]) -> list[float]:
    return sorted({round(x * CARETS / 100) * 100 / CARETS for x in places})


def _round(percent: float) -> float:
    return round(float(percent), 2)


def _number(value: float) -> str:
    """Write with four digits, whole numbers with all of theirs."""
    return notation.decimals(value, 0) if value == round(value) else notation.significant(value, 4)


def _formatter(form: str | None) -> Callable[[float], str]:
    """Return what writes a value."""
    if form == "%":
        return notation.percent
    if form:
        return partial(notation.decimals, places=len(form.partition(".")[2]))
    return _number


def _tick_formatter(form: str | None, step: float) -> Callable[[float], str]:
    """Return what writes a tick: a share in whole percent where the ticks are."""
    if form == "%" and round(100 * step, 6).is_integer():
        return partial(notation.percent, places=0)
    return _formatter(form)

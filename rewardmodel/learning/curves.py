"""The curves of a run, in files that other programs read: TensorBoard's, CSV and JSON."""

from __future__ import annotations

import csv
import io
import json
import math
import re
from collections.abc import Iterable, Mapping
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from shutil import rmtree
from time import time
from types import TracebackType
from typing import Any, Self

from rewardmodel.learning.saving import NotSaved, saving, write_whole

Points = Iterable[tuple[int, Mapping[str, float]]]  # a step, and what was measured there, by name

FOLDER = "curves"  # in a run's own folder
JOURNAL, CSV, JSON, EVENTS = "points.jsonl", "curves.csv", "curves.json", "tensorboard"


def to_csv(points: Points) -> str:
    """A row a step, a column a curve in the order in which they began; empty where nothing was measured."""
    rows = list(points)
    names = list(dict.fromkeys(name for _, values in rows for name in values))
    out = io.StringIO()
    writer = csv.DictWriter(out, ["step", *names], lineterminator="\n")
    writer.writeheader()
    writer.writerows({"step": step, **values} for step, values in rows)
    return out.getvalue()


def to_json(points: Points) -> str:
    """{"curve": [[step, value], ...], ...}, each curve with the steps where it was measured."""
    curves: dict[str, list[tuple[int, float]]] = {}
    for step, values in points:
        for name, value in values.items():
            curves.setdefault(name, []).append((step, value))
    return json.dumps(curves, ensure_ascii=False)


class CurveFiles:
    """Writes what a run measures to `curves/` in its folder, each step once however often it is interrupted.

    - `points.jsonl` grows by a line a step.
    - `tensorboard/` is what `tensorboard --logdir` reads; where tensorboardX is not installed there is none.
    - `curves.csv` and `curves.json` are written when the run ends or stops.

    A context manager.
    """

    def __init__(self, run: Path, *, done: int = 0) -> None:
        """
        Args:
            run: the run's own folder.
            done: steps that a resumed run does not make again; what was written of later ones is forgotten.
        """
        self.folder = run / FOLDER
        self.folder.mkdir(parents=True, exist_ok=True)
        self._lines = [line for line in _read(self.folder / JOURNAL) if line["step"] <= done]
        with write_whole(self.folder / JOURNAL) as partial:
            partial.write_text("".join(json.dumps(line) + "\n" for line in self._lines), encoding="utf-8")
        self._journal = (self.folder / JOURNAL).open("a", encoding="utf-8")
        self._events = _open_events(self.folder / EVENTS)
        for line in self._lines:
            self._add_event(line)

    def record(self, step: int, values: Mapping[str, float | None]) -> None:
        """Write what was measured at a step; None and what is not finite is left out. Raises: NotSaved."""
        measured = {
            name: value for name, value in values.items() if value is not None and math.isfinite(value)
        }
        line = {"step": step, "time": time(), "values": measured}
        self._lines.append(line)
        with saving(self.folder / JOURNAL):
            self._journal.write(json.dumps(line) + "\n")
            self._journal.flush()
        self._add_event(line)

    def close(self) -> None:
        """Write the tables, and what TensorBoard's writer has not written yet. Raises: NotSaved."""
        self._journal.close()
        if self._events is not None:
            self._events.close()
        points = [(line["step"], line["values"]) for line in self._lines]
        for name, text in ((CSV, to_csv(points)), (JSON, to_json(points))):
            with write_whole(self.folder / name) as partial:
                partial.write_text(text, encoding="utf-8")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self.close()
        else:
            with suppress(NotSaved):  # what went wrong first is to be told, not that the disk is full too
                self.close()

    def _add_event(self, line: Mapping[str, Any]) -> None:
        if self._events is not None:
            for name, value in line["values"].items():
                tag = re.sub(r"[^\w./-]", "_", name)  # all that TensorBoard takes
                self._events.add_scalar(tag, value, line["step"], walltime=line["time"])


def _read(journal: Path) -> Iterable[dict[str, Any]]:
    if not journal.exists():
        return
    for line in journal.read_text(encoding="utf-8").splitlines():
        try:
            yield json.loads(line)
        except ValueError:  # its process died while writing this line, so it is the last
            return


def _open_events(folder: Path) -> Any:
    """TensorBoard's writer, or None where tensorboardX is not installed.

    Of a resumed run all is written anew: a second file beside the first would show some steps twice.
    """
    if find_spec("tensorboardX") is None:
        return None
    from tensorboardX import SummaryWriter

    rmtree(folder, ignore_errors=True)
    return SummaryWriter(str(folder), flush_secs=10)

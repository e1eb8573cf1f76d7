"""Lines of a log that repeat one another, as of a part that waits for another, or of a full disk."""

from __future__ import annotations

import re
from collections import OrderedDict
from dataclasses import dataclass

MOST_ALIKE = 10  # lines of one kind that are written, however fast they come
QUIET_SECONDS = 60.0  # after which one more is written, or, where none came meanwhile, the count begins anew
LONGEST_REST = 300  # indented lines after one that is written
MOST_KINDS = 1000  # that are remembered

# Lines that differ in these alone are of one kind: ids of requests, times, process ids, durations.
_VARIABLE = re.compile(r"\[request [\w.-]+\]|\"(?:request_id|task_id)\": \"[\w.-]+\"|0x[0-9a-fA-F]+|\d+")
# A request is a record and no repetition: as `config.web.channels` has it.
_REQUEST = re.compile(
    r"[A-Z]+ /.* \d{3} (\d+|-|None) bytes \d+ ms( \[request [\w.-]+\])?"
    r"|\{.*\"logger\": \"gunicorn.access\".*\}"
)


@dataclass
class _Kind:
    written: int
    left_out: int
    written_at: float
    seen_at: float


class Repetition:
    """Which lines to write: of those alike MOST_ALIKE, then one every QUIET_SECONDS, with a count.

    Indented ones are the rest of the line before them, as in a traceback.
    """

    def __init__(self) -> None:
        self._kinds: OrderedDict[str, _Kind] = OrderedDict()
        self._rest = LONGEST_REST  # indented lines that may follow

    def shown(self, line: str, *, now: float) -> str | None:
        """Return the line as it is to be written, or None.

        Args: now: on the monotonic clock, in seconds.
        """
        if line.startswith((" ", "\t")):
            self._rest -= 1
            return line if self._rest >= 0 else None
        shown = line if _REQUEST.fullmatch(line) else self._counted(line, now)
        self._rest = LONGEST_REST if shown is not None else 0
        return shown

    def _counted(self, line: str, now: float) -> str | None:
        shape = _VARIABLE.sub("#", line)
        kind = self._kinds.pop(shape, None)
        if kind is None or now - kind.seen_at > QUIET_SECONDS:
            kind = _Kind(written=0, left_out=0, written_at=now, seen_at=now)
        self._kinds[shape] = kind
        if len(self._kinds) > MOST_KINDS:
            self._kinds.popitem(last=False)
        kind.seen_at = now
        if kind.written >= MOST_ALIKE and now - kind.written_at <= QUIET_SECONDS:
            kind.left_out += 1
            return None
        note = f" (and {kind.left_out:,} more like it)" if kind.left_out else ""
        kind.written, kind.left_out, kind.written_at = kind.written + 1, 0, now
        return line + note

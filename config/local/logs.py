"""The logs of services: each to its own file and, prefixed by its name, to the terminal."""

from __future__ import annotations

import logging
import subprocess
import sys
import threading
import time
import zlib
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import TextIO

from config.lines import one_line
from config.local.repetition import Repetition

_COLOURS = (32, 33, 34, 35, 36, 92, 94, 95, 96)


class _File(RotatingFileHandler):
    """At most 40 MB in four files. Where it cannot write it says so in a line; logging prints a traceback."""

    def __init__(self, path: Path, report: Callable[[BaseException], None]) -> None:
        super().__init__(path, maxBytes=10_000_000, backupCount=3, delay=True)
        self._report = report

    def handleError(self, record: logging.LogRecord) -> None:
        if (error := sys.exc_info()[1]) is not None:
            self._report(error)


class Log:
    """The log of one service, at most 40 MB in four files.

    Args: terminal: where lines are also written, with colours if it is a terminal; None: nowhere.
    """

    def __init__(self, name: str, *, folder: Path, terminal: TextIO | None) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._file = _File(folder / f"{name}.log", self._report)
        self._repetition = Repetition()
        self._terminal = terminal
        self._tail: deque[str] = deque(maxlen=20)
        colour = _COLOURS[zlib.crc32(name.encode()) % len(_COLOURS)]
        isatty = terminal is not None and terminal.isatty()
        self._prefix = f"\033[{colour}m{name:>8} |\033[0m " if isatty else f"{name:>8} | "

    def say(self, line: str) -> None:
        """Write a line, unless it repeats others."""
        shown = self._repetition.shown(one_line(line), now=time.monotonic())
        if shown is None:
            return
        self._tail.append(shown)
        self._file.handle(logging.makeLogRecord({"msg": "%s", "args": (shown,)}))
        self._print(shown)

    def _print(self, line: str) -> None:
        if self._terminal is not None:
            # A terminal that has gone must not end the thread: its service would hang on a full pipe.
            with suppress(OSError, ValueError):
                # One write per line, because several services write at the same time.
                self._terminal.write(f"{self._prefix}{line}\n")
                self._terminal.flush()

    def follow(self, process: subprocess.Popen[bytes]) -> threading.Thread:
        """Copy the process's output in a thread, until it and all its children have closed the pipe."""
        reader = threading.Thread(target=self._copy, args=(process,), daemon=True)
        reader.start()
        return reader

    def unseen(self) -> str:
        """Return, for an error message, the last lines if no terminal showed them, else where they are."""
        if self._terminal is None:
            return ":\n" + "\n".join(self._tail)
        return f"; what it said is above, and in {self._file.baseFilename}"

    def _report(self, error: BaseException) -> None:
        """Say on the terminal alone that the file cannot be written, as when the disk is full."""
        line = f"{self._file.baseFilename} cannot be written: {error}"
        shown = self._repetition.shown(line, now=time.monotonic())
        if shown is not None:
            self._print(shown)

    def _copy(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stdout is not None
        with process.stdout as lines:
            for line in lines:
                self.say(line.decode(errors="replace").rstrip("\n"))

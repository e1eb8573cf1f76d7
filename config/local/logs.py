"""The logs of services: each to its own file and, prefixed by its name, to the terminal."""

from __future__ import annotations

import logging
import subprocess
import threading
import zlib
from collections import deque
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import TextIO

_COLOURS = (32, 33, 34, 35, 36, 92, 94, 95, 96)


class Log:
    """The log of one service, at most 40 MB in four files.

    Args: terminal: where lines are also written, with colours if it is a terminal; None: nowhere.
    """

    def __init__(self, name: str, *, folder: Path, terminal: TextIO | None) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._file = RotatingFileHandler(
            folder / f"{name}.log", maxBytes=10_000_000, backupCount=3, delay=True
        )
        self._terminal = terminal
        self._tail: deque[str] = deque(maxlen=20)
        colour = _COLOURS[zlib.crc32(name.encode()) % len(_COLOURS)]
        isatty = terminal is not None and terminal.isatty()
        self._prefix = f"\033[{colour}m{name:>8} |\033[0m " if isatty else f"{name:>8} | "

    def say(self, line: str) -> None:
        self._tail.append(line)
        self._file.handle(logging.makeLogRecord({"msg": "%s", "args": (line,)}))
        if self._terminal is not None:
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

    def _copy(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stdout is not None
        with process.stdout as lines:
            for line in lines:
                self.say(line.decode(errors="replace").rstrip("\n"))

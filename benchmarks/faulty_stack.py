"""A Laurel of its own, as `bin/run` starts it, with a clock that can be moved."""

from __future__ import annotations

import http.client
import os
import shutil
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
START = 300  # seconds until it is ready, on a machine that does much else


class Stack:
    """The running services; Django in this process works on their database.

    Attributes:
        sessions: session keys of people who are signed in.
        tasks: what was acknowledged to them.
    """

    def __init__(self, folder: Path) -> None:
        self.folder, self.var = folder, folder / "var"
        self.sessions: list[str] = []
        self.tasks: list[dict[str, Any]] = []
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        for name in ("DATABASE_URL", "CELERY_BROKER_URL"):
            os.environ.pop(name, None)
        os.environ |= {
            "LAUREL_VAR": str(self.var),
            "LAUREL_PORT": str(self.port),
            "LAUREL_DEMO": "off",
            "RUN_SILENCE_SECONDS": "5",
            "HF_HUB_OFFLINE": "1",
            "DJANGO_SETTINGS_MODULE": "config.settings",
        }
        folder.chmod(0o755)
        self.clock = folder / "clock"
        self.move_clock(0)
        library = folder / "moved_clock.so"
        source = Path(__file__).with_name("moved_clock.c")
        compiler = shutil.which("cc")
        self.has_clock = compiler is not None and not subprocess.call(
            [compiler, "-shared", "-fPIC", "-O2", "-o", str(library), str(source), "-ldl"]
        )
        moved = {"LD_PRELOAD": str(library), "MOVED_CLOCK": str(self.clock)} if self.has_clock else {}
        self.environment = {**os.environ, **moved}

    def __enter__(self) -> Stack:
        self.output = (self.folder / "output").open("w")
        self.process = subprocess.Popen(
            [sys.executable, "-m", "config.local"],
            cwd=ROOT,
            env=self.environment,
            stdout=self.output,
            stderr=subprocess.STDOUT,
        )
        self.wait_until(lambda: "Laurel is ready" in (self.folder / "output").read_text(), START)
        import django

        django.setup()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        from config.local.processes import end_orphans
        from config.settings import SOCKETS

        self.process.terminate()
        try:
            self.process.wait(timeout=60)
        except subprocess.TimeoutExpired:
            self.process.kill()
        end_orphans(self.var)
        self.output.close()
        shutil.rmtree(SOCKETS, ignore_errors=True)

    def move_clock(self, seconds: int) -> None:
        """Let the services' time of day be so many seconds ahead."""
        if self.clock.exists():
            with self.clock.open("r+b") as file:  # mapped by the services
                file.write(struct.pack("q", seconds))
        else:
            self.clock.write_bytes(struct.pack("q", seconds))

    def wait_until(self, holds: Callable[[], Any], seconds: float, *, pause: float = 0.05) -> None:
        until = time.monotonic() + seconds
        while not holds():
            if time.monotonic() > until or self.process.poll() is not None:
                sys.exit(f"waited in vain: {(self.folder / 'output').read_text()[-2000:]}")
            time.sleep(pause)

    def pids(self, service: str) -> set[int]:
        """The processes of a service, those that it started too, whose environment tells nothing."""
        import psutil

        from config.local.processes import find_marked

        found = set()
        for process in find_marked(self.var, service):
            with suppress(psutil.Error):
                found |= {process.pid, *(child.pid for child in process.children(recursive=True))}
        return found

    def is_ready(self) -> bool:
        return self._status("/readyz") == 200

    def seconds_of(self, path: str) -> float:
        """How long a page of somebody who is signed in takes, whatever it says."""
        begun = time.monotonic()
        self._status(path)
        return time.monotonic() - begun

    def _status(self, path: str) -> int | None:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=120)
        try:
            connection.request("GET", path, headers={"Cookie": f"sessionid={self.sessions[0]}"})
            return connection.getresponse().status
        except (OSError, http.client.HTTPException):
            return None
        finally:
            connection.close()

    def manage(self, *command: str, may_fail: bool = False) -> str:
        """Run a command of manage.py; return all that it said."""
        done = subprocess.run(
            [sys.executable, "manage.py", *command],
            cwd=ROOT,
            env=self.environment,
            capture_output=True,
            text=True,
        )
        if done.returncode and not may_fail:
            sys.exit(f"{command}: {done.stderr}")
        return done.stdout + done.stderr

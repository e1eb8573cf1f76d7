"""Starting services, restarting those that die, and stopping them in reverse order."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from config.local.logs import Log
from config.local.processes import end, find_marked, spawn

LONGEST_WAIT = 30.0  # seconds between two starts of a service that keeps dying
STEADY = 30.0  # seconds of running after which earlier failures are forgotten


class ServiceFailed(Exception):
    """A service could not be started; the message has its last output, unless the terminal showed it."""


@dataclass(frozen=True)
class Service:
    """A command to keep running.

    Args:
        ready: returns whether it responds.
        prepare: called before every start.
        stop_signal: sent to its main process to stop it.
        patience: seconds to stop in, after which all its processes are killed.
        environment: variables beside the current ones.
    """

    name: str
    command: Sequence[str]
    ready: Callable[[], bool] = lambda: True
    prepare: Callable[[], None] = lambda: None
    stop_signal: signal.Signals = signal.SIGTERM
    patience: float = 10.0
    environment: Mapping[str, str] = field(default_factory=dict)


class Child:
    """A service and its current process."""

    def __init__(self, service: Service, *, var: Path, log: Log) -> None:
        self.service, self.var, self.log = service, var, log
        self.process: subprocess.Popen[bytes] | None = None
        self.reader: threading.Thread | None = None
        self.failures = 0
        self.started_at = self.due_at = 0.0  # on the monotonic clock

    def start(self) -> None:
        self.service.prepare()
        self.process = spawn(
            self.service.name, self.service.command, var=self.var, environment=self.service.environment
        )
        self.started_at = time.monotonic()
        self.reader = self.log.follow(self.process)

    def wait_until_ready(self, *, patience: float) -> None:
        """Wait `patience` seconds at most. Raises: ServiceFailed when it exits or is too slow."""
        assert self.process is not None
        assert self.reader is not None
        deadline = time.monotonic() + patience
        while not self.service.ready():
            if self.process.poll() is not None:
                self.reader.join(timeout=2)
                raise ServiceFailed(f"{self.service.name} ended while starting{self.log.unseen()}")
            if time.monotonic() > deadline:
                raise ServiceFailed(
                    f"{self.service.name} gave no answer in {patience:.0f} s{self.log.unseen()}"
                )
            time.sleep(0.05)

    def tend(self) -> None:
        """Check whether the process has exited, and restart it once the wait is over."""
        if self.process is not None and self.process.poll() is not None:
            self._end_children()
            if time.monotonic() - self.started_at > STEADY:
                self.failures = 0
            self._wait_longer(f"ended with status {self.process.returncode}")
        elif self.process is None and time.monotonic() >= self.due_at:
            try:
                self.start()
            except (OSError, ServiceFailed) as error:
                self._wait_longer(str(error))

    def _wait_longer(self, reason: str) -> None:
        """Wait 1 s before the next start, then 2, 4 ... LONGEST_WAIT."""
        wait = min(2.0**self.failures, LONGEST_WAIT)
        self.log.say(f"{reason}; starting again in {wait:.0f} s")
        self.process, self.failures, self.due_at = None, self.failures + 1, time.monotonic() + wait

    def stop(self) -> None:
        if self.process is not None and self.process.poll() is None:
            first = psutil.Process(self.process.pid)
            end([first], by=self.service.stop_signal, patience=self.service.patience)
            self.process.wait()
        self.process = None
        self._end_children()

    def _end_children(self) -> None:
        """End the child processes of the service: they must not outlive it."""
        end(find_marked(self.var, self.service.name), patience=2)


class Supervisor:
    """Keeps the services of one folder running.

    Args: quiet: write logs to files only, not to the terminal as well.
    """

    def __init__(self, var: Path, *, quiet: bool = False) -> None:
        self.var, self.quiet = var, quiet
        self.children: list[Child] = []

    def start(self, *services: Service, patience: float = 120.0) -> None:
        """Start services and wait until all of them respond.

        Raises: ServiceFailed when one exits, or does not respond within `patience` seconds.
        """
        started = [Child(service, var=self.var, log=self._log(service.name)) for service in services]
        for child in started:
            self.children.append(child)  # before it starts, so that Ctrl-C in between stops it too
            child.start()
        for child in started:
            child.wait_until_ready(patience=patience)

    def run(self, name: str, command: Sequence[str]) -> None:
        """Run a command to completion. Raises: ServiceFailed when its status is not 0."""
        log = self._log(name)
        process = spawn(name, command, var=self.var)
        reader = log.follow(process)
        status = process.wait()
        reader.join(timeout=5)
        if status != 0:
            raise ServiceFailed(f"{name} ended with status {status}{log.unseen()}")

    def watch(self) -> None:
        """Tend the services until an exception (from a signal) ends the loop."""
        while True:
            for child in self.children:
                child.tend()
            time.sleep(0.2)

    def stop(self) -> None:
        """Stop all services in reverse order, and any processes they left."""
        while self.children:
            self.children[-1].stop()
            self.children.pop()
        end(find_marked(self.var))

    def _log(self, name: str) -> Log:
        return Log(name, folder=self.var / "log", terminal=None if self.quiet else sys.stdout)

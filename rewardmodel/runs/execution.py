"""The process that does a run's work, of any kind: its heartbeat, its signals, how it ends."""

from __future__ import annotations

import json
import logging
import math
import os
import resource
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from time import monotonic, sleep
from types import FrameType

from django.db import InterfaceError, OperationalError, connection
from django.utils.timezone import now

from annotation import jobs
from rewardmodel.learning.errors import Interrupted, PermanentError
from rewardmodel.models import Run
from rewardmodel.runs import states
from rewardmodel.runs.folders import RunFolder

logger = logging.getLogger(__name__)
HEARTBEAT_SECONDS = 1.0
DATABASE_PATIENCE_SECONDS = 60.0  # Postgres may restart under a run
OF_THE_FILE = (FileNotFoundError, IsADirectoryError, NotADirectoryError, PermissionError)

OnReport = Callable[[int, int, Mapping[str, float]], None]


class PermanentFailure(Exception):
    """The work cannot be done, however often it is tried; the message says why."""


class Heartbeat:
    """Sends a run's heartbeat once a second from its own thread, with what the work has reported.

    The thread also learns when to stop: the run was cancelled or lost, or its supervisor died. It goes on
    between steps, because loading and validating a large model take longer than a worker may be silent.
    """

    def __init__(
        self,
        run: Run,
        *,
        supervisor: int | None = None,
        on_report: OnReport = lambda step, steps, values: None,
    ) -> None:
        self.run, self.supervisor, self.on_report = run, supervisor, on_report
        self.folder = RunFolder(run)
        self.lost: jobs.JobLost | None = None
        self._stop, self._over = threading.Event(), threading.Event()
        self._step, self._steps = run.step, run.steps
        self._points = _read_journal(self.journal)
        self._lock = threading.Lock()
        self._thread = threading.Thread(
            target=self._send_each_second, name=f"heartbeat of {run}", daemon=True
        )

    @property
    def journal(self) -> Path:
        """What was measured, a line a step: what a killed process had not yet told the database."""
        return self.run.folder / "points.jsonl"

    def report(self, *, step: int, steps: int, values: Mapping[str, float | None]) -> None:
        """Say how far the work is and what it measured there; None and what is not finite is left out."""
        measured = {
            name: value for name, value in values.items() if value is not None and math.isfinite(value)
        }
        if measured:
            with self.journal.open("a", encoding="utf-8") as file:
                file.write(json.dumps([step, measured]) + "\n")
        with self._lock:
            self._step, self._steps = step, steps
            if measured:
                self._points.setdefault(step, {}).update(measured)
        self.on_report(step, steps, measured)

    def should_stop(self) -> bool:
        """True from when the work is to write a checkpoint and raise Interrupted.

        Raises: JobLost where another may be at work in the run's folder: nothing is written there any more.
        """
        if self.lost:
            raise self.lost
        return self._stop.is_set()

    def stop(self) -> None:
        self._stop.set()

    def start(self) -> None:
        self._thread.start()

    def end(self) -> None:
        """Stop the thread and record what is left. Raises: JobLost."""
        self._over.set()
        self._thread.join()
        if self.lost:
            raise self.lost
        retry_on_database_error(self._send)

    def _send_each_second(self) -> None:
        try:
            while not self._over.wait(HEARTBEAT_SECONDS):
                try:
                    self._send()
                except (OperationalError, InterfaceError) as error:
                    logger.warning("The database does not answer: %s", error)
                    connection.close()
                if self.run.cancel_requested or self._orphaned():
                    self.stop()
        except jobs.JobLost as lost:
            self.lost = lost
        finally:
            self.stop()  # work without a heartbeat would be in vain
            connection.close()

    def _send(self) -> None:
        with self._lock:
            points, self._points = self._points, {}
            step, steps = self._step, self._steps
        try:
            states.record_progress(
                self.run, now=now(), step=step, steps=steps, points=points, peak_memory=peak_memory()
            )
        except (OperationalError, InterfaceError):
            with self._lock:
                self._points = {**points, **self._points}
            raise

    def _orphaned(self) -> bool:
        if self.supervisor is None:
            return False
        if "TORCHELASTIC_RUN_ID" in os.environ:  # torchrun is between the two
            return not _is_alive(self.supervisor)
        return os.getppid() != self.supervisor


def execute(
    run: Run,
    work: Callable[[Heartbeat], None],
    *,
    attempt: int | None = None,
    supervisor: int | None = None,
    on_report: OnReport = lambda step, steps, values: None,
) -> None:
    """Do a run's work in this process, then move the run to where it belongs.

    SIGTERM and SIGINT ask the work to stop at its next step: it writes a checkpoint and raises Interrupted,
    and the run goes back to the queue, or is cancelled where that was asked. An error fails a run at once,
    unless a supervisor watches: that one records the crash and tries again, if there is hope.

    Args:
        attempt: the claim under which a supervisor started this process; None claims here.
        supervisor: process id of who started this one; when it dies, the work stops.
        on_report: called in this thread after each report of the work, with step, steps and values.
    Raises: JobLost when the run is over or another's, before or during the work.
    """
    if attempt is None:
        states.claim(run, now=now())
    elif (run.attempt, run.state) != (attempt, Run.State.RUNNING):
        raise jobs.JobLost(f"{run}: attempt {attempt} is not at work any more")
    if supervisor is None:
        RunFolder(run).take_up()
    heartbeat = Heartbeat(run, supervisor=supervisor, on_report=on_report)
    try:
        _work(run, work, heartbeat)
    finally:
        if supervisor is None:
            heartbeat.folder.hand_over()


def _work(run: Run, work: Callable[[Heartbeat], None], heartbeat: Heartbeat) -> None:
    """Do the work, let every host have what came of it, and only then move the run."""
    with _stopping_at_signals(heartbeat):
        heartbeat.start()
        try:
            with heartbeat.folder.kept_stored():
                work(heartbeat)
            heartbeat.folder.store()
        except Interrupted:
            heartbeat.folder.store()
            heartbeat.end()
            retry_on_database_error(lambda: jobs.release(run, now=now()))
        except Exception as error:
            heartbeat.end()
            if heartbeat.supervisor is None or _is_permanent(error):
                message = f"{type(error).__name__}: {error}"
                retry_on_database_error(lambda: states.fail(run, error=message, now=now()))
            raise
        else:
            heartbeat.end()
            retry_on_database_error(lambda: states.finish(run, now=now()))


def _is_permanent(error: BaseException) -> bool:
    """Whether no second try mends it. One may where the cause is the machine, a disk or the network.

    A file that is missing, or may not be read, is no such cause.
    """
    if not isinstance(error, PermanentFailure | PermanentError):
        return False
    cause: BaseException = error
    while earlier := cause.__cause__ or cause.__context__:
        cause = earlier
        is_of_system = isinstance(cause, OSError) and cause.errno is not None  # decoders raise it without
        if isinstance(cause, MemoryError) or (is_of_system and not isinstance(cause, OF_THE_FILE)):
            return False
    return True


def retry_on_database_error(write: Callable[[], None]) -> None:
    """Write to the database, waiting while it restarts. Raises: OperationalError after a minute."""
    deadline = monotonic() + DATABASE_PATIENCE_SECONDS
    while True:
        try:
            return write()
        except (OperationalError, InterfaceError):
            if monotonic() > deadline:
                raise
            logger.warning("The database does not answer; trying again")
            connection.close()
            sleep(HEARTBEAT_SECONDS)


def peak_memory() -> int:
    """The most memory this process has held, in bytes."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024  # Linux counts in KiB


def _is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _read_journal(journal: Path) -> dict[int, dict[str, float]]:
    """What earlier attempts measured, by step; of a step that was repeated, the later values."""
    points: dict[int, dict[str, float]] = {}
    if journal.exists():
        for line in journal.read_text(encoding="utf-8").splitlines():
            with suppress(ValueError):  # its process died while writing this line
                step, measured = json.loads(line)
                points[step] = measured
    return points


@contextmanager
def _stopping_at_signals(heartbeat: Heartbeat) -> Iterator[None]:
    def stop(number: int, frame: FrameType | None) -> None:
        heartbeat.stop()

    before = {number: signal.signal(number, stop) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)

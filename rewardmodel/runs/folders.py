"""A run's folder: put on the host that works on the run, and stored as it grows: another can go on."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from copy import copy
from datetime import timedelta
from pathlib import Path
from time import monotonic, sleep

from django.conf import settings
from django.db import InterfaceError, OperationalError, connection
from django.db.models import Q
from django.utils.timezone import now

from annotation import jobs, stored_files
from rewardmodel.models import Run
from rewardmodel.runs.states import run_models

logger = logging.getLogger(__name__)
HEARTBEAT_SECONDS = 1.0
STORE_SECONDS = 5.0  # between two looks for what is new: so much work another host does again
PATIENCE_SECONDS = 60.0  # the storage may restart under a run
HAND_OVER = timedelta(minutes=10)  # so long after a run's last heartbeat its worker may still store its end


class RunFolder:
    """The folder of a run that this host works on. Where the storage is the disk, nothing is to be done."""

    def __init__(self, run: Run) -> None:
        self.run, self.path = run, run.folder
        self._digests: stored_files.Digests = {}
        self._stored: stored_files.Listing = {}
        self._lock, self._over = threading.Lock(), threading.Event()

    def take_up(self) -> None:
        """Put the folder here as it was stored last, and remove those of other runs that are over."""
        with self._heard_of():
            _remove_left(but=self.path)
            stored_files.fetch(self.path)
        self.path.mkdir(parents=True, exist_ok=True)

    def store(self) -> None:
        """Let every host have the folder as it is now.

        Raises: JobLost where another worker has the run; what the storage raises where it is not reached in
            a minute.
        """
        if not stored_files.is_elsewhere():
            return
        deadline = monotonic() + PATIENCE_SECONDS
        while True:
            try:
                return self._store()
            except jobs.JobLost:
                raise
            except Exception as error:  # whatever the client of the storage raises
                if monotonic() > deadline:
                    raise
                logger.warning("%s: its folder cannot be stored; trying again: %r", self.run, error)
                sleep(1)

    @contextmanager
    def kept_stored(self) -> Iterator[None]:
        """Store what is new in the folder every few seconds, from a thread of its own."""
        if not stored_files.is_elsewhere():
            yield
            return
        thread = threading.Thread(target=self._keep_stored, name=f"folder of {self.run}", daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._over.set()
            thread.join()

    def hand_over(self) -> None:
        """Store the folder as it is when the work has ended, and let go of it. Raises: as `store`."""
        with self._heard_of():
            self.store()
            stored_files.let_go(self.path)

    @contextmanager
    def _heard_of(self) -> Iterator[None]:
        """Send heartbeats, as long as the run is at work here, while its own process does not: large files
        take longer than a worker may be silent."""
        if not stored_files.is_elsewhere():
            yield
            return
        over = threading.Event()
        thread = threading.Thread(target=_send_heartbeats, args=(copy(self.run), over), daemon=True)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()

    def _store(self) -> None:
        with self._lock:
            listed = stored_files.listing(self.path)
            if listed != self._stored:
                stored_files.store(self.path, fence=lambda: jobs.hold(self.run), digests=self._digests)
                self._stored = listed

    def _keep_stored(self) -> None:
        try:
            while not self._over.wait(STORE_SECONDS):
                try:
                    self._store()
                except jobs.JobLost:
                    return  # the heartbeat learns it as well
                except Exception as error:  # the run goes on; whoever takes it over goes further back
                    logger.warning("%s: its folder cannot be stored: %r", self.run, error)
                    connection.close()
        finally:
            connection.close()


def _send_heartbeats(run: Run, over: threading.Event) -> None:
    try:
        while not over.wait(HEARTBEAT_SECONDS):
            try:
                jobs.heartbeat(run, now=now())
            except (OperationalError, InterfaceError) as error:
                logger.warning("The database does not answer: %s", error)
                connection.close()
    except jobs.JobLost:
        return  # it has ended, or another worker has it: the rows cannot be changed either
    finally:
        connection.close()


def _remove_left(*, but: Path) -> None:
    """Remove what this host still has of runs that it was killed in, or that went on elsewhere."""
    if not stored_files.is_elsewhere():
        return
    for model in run_models():
        # Listed first: what another worker makes meanwhile, of a run that waited, is not among these.
        folders = set(Path(settings.RUNS_DIR).glob(f"{model.kind}-[0-9]*"))
        copies = set(Path(settings.RUNS_DIR).glob(f".{model.kind}-[0-9]*.held.new"))
        beating = Q(state=Run.State.RUNNING) | Q(heartbeat__gt=now() - HAND_OVER)
        in_use = {but, *(run.folder for run in model.objects.filter(beating))}
        for folder in folders - in_use:
            stored_files.let_go(folder)
        for left in copies - {stored_files.held_beside(folder) for folder in in_use}:
            stored_files.remove_local(left)

"""Which of the threads that wait takes the next request."""

from __future__ import annotations

from threading import Lock

from waitress.task import ThreadedTaskDispatcher


class NewestFirst:
    """What idle threads of a dispatcher wait at: the one that came last is woken first.

    Python's condition wakes the one that came first, so that requests go round all threads. Each thread has
    a connection to the database, for which Postgres plans every statement anew a few times: with few threads
    at work, few connections are opened, and these soon have all their plans.
    """

    def __init__(self, lock: Lock) -> None:
        self._lock = lock  # of the dispatcher, held by whoever calls a method
        self._waiting: list[Lock] = []

    def wait(self) -> None:
        woken = Lock()
        woken.acquire()
        self._waiting.append(woken)
        self._lock.release()
        try:
            woken.acquire()
        finally:
            self._lock.acquire()

    def notify(self) -> None:
        if self._waiting:
            self._waiting.pop().release()

    def notify_all(self) -> None:
        while self._waiting:
            self.notify()


def newest_first(threads: int) -> ThreadedTaskDispatcher:
    """Return waitress's dispatcher of tasks, with so many threads."""
    tasks = ThreadedTaskDispatcher()
    tasks.queue_cv = NewestFirst(tasks.lock)
    tasks.set_thread_count(threads)
    return tasks

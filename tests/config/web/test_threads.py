"""Requests that come one after another are answered by one thread, and so over one connection."""

import threading

from config.web.threads import newest_first
from tests.config.test_supervisor import wait_until


class Request:
    def __init__(self, threads, go=None):
        self.threads, self.go = threads, go

    def service(self):
        self.threads.add(threading.get_ident())
        if self.go:
            self.go.wait()


def is_idle(tasks):
    with tasks.lock:
        return not tasks.queue and tasks.active_count == 0


def test_one_after_another_goes_to_the_thread_that_was_idle_for_the_shortest_time():
    tasks, used = newest_first(5), set()
    for _ in range(10):
        wait_until(lambda: is_idle(tasks))
        tasks.add_task(Request(used))
    wait_until(lambda: is_idle(tasks))
    tasks.shutdown()
    assert len(used) == 1


def test_those_that_come_at_once_are_answered_at_once_and_more_of_them_wait():
    tasks, used, go = newest_first(5), set(), threading.Event()
    for _ in range(8):
        tasks.add_task(Request(used, go))
    wait_until(lambda: len(used) == 5)
    assert len(tasks.queue) == 3
    go.set()
    wait_until(lambda: is_idle(tasks))
    tasks.shutdown()
    assert not tasks.threads

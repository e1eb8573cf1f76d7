"""Keeping services running: what is started again, what is stopped, and what is never left behind."""

import os
import signal
import subprocess
import sys
import time

import psutil
import pytest

from config.local.folder import AlreadyRunning, UnsafeFolder, hold, make_private
from config.local.processes import end_orphans, find_marked, spawn
from config.local.supervisor import Service, ServiceFailed

SLEEP = "import time; time.sleep(600)"
# A service that has a process of its own, in a session of its own, as a worker that trains has.
PARENT = f"""
import subprocess, sys
subprocess.Popen([sys.executable, "-c", {SLEEP!r}], start_new_session=True)
print("both are up", flush=True)
{SLEEP}
"""
NOTES_ITS_END = """
import signal, sys, time

def end(*_):
    with open({trace!r}, "a") as file:
        file.write({name!r})
    sys.exit()

signal.signal(signal.SIGTERM, end)
print("up", flush=True)
time.sleep(600)
"""
HOLDS = """
import pathlib, time
from config.local.folder import hold
with hold(pathlib.Path({var!r}), serving="x"):
    print("held", flush=True)
    time.sleep(600)
"""
STUBBORN = f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True); {SLEEP}"


def a_service(name="sleeper", code=SLEEP, **fields):
    return Service(name=name, command=(sys.executable, "-c", code), **fields)


def wait_until(condition, seconds=60.0):
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, "it never happened"
        time.sleep(0.05)
    return found


def tend(supervisor):
    for child in supervisor.children:
        child.tend()


def test_a_service_that_was_killed_is_started_again(supervisor, var):
    supervisor.start(a_service())
    (first,) = find_marked(var, "sleeper")
    first.kill()

    def somebody_new():
        tend(supervisor)
        return [process for process in find_marked(var, "sleeper") if process.pid != first.pid]

    assert wait_until(somebody_new)


def test_a_service_that_keeps_dying_is_started_less_and_less_often(supervisor):
    supervisor.start(a_service("failing", "raise SystemExit(3)"))
    (child,) = supervisor.children
    waits = []
    for _ in range(3):
        wait_until(lambda: child.process is None or child.process.poll() is not None)
        child.tend()  # sees it dead
        waits.append(round(child.due_at - time.monotonic()))
        child.due_at = 0.0
        child.tend()  # starts it again
    assert waits == [1, 2, 4]


def test_what_a_dead_service_had_started_dies_with_it(supervisor, var):
    supervisor.start(a_service("parent", PARENT))
    wait_until(lambda: len(find_marked(var, "parent")) == 2)
    leader = supervisor.children[0].process.pid
    os.kill(leader, signal.SIGKILL)
    wait_until(lambda: supervisor.children[0].process.poll() is not None)
    supervisor.children[0].tend()
    assert not find_marked(var, "parent")


def test_a_service_that_does_not_answer_is_named_with_its_last_words(supervisor):
    silent = a_service("silent", f"print('no port for me', flush=True); {SLEEP}", ready=lambda: False)
    with pytest.raises(ServiceFailed, match=r"(?s)silent gave no answer in 1 s.*no port for me"):
        supervisor.start(silent, patience=1)


def test_a_service_that_ends_at_once_is_named_with_its_last_words(supervisor):
    broken = a_service("broken", "raise SystemExit('no such table')", ready=lambda: False)
    with pytest.raises(ServiceFailed, match=r"(?s)broken ended while starting.*no such table"):
        supervisor.start(broken)


def test_a_command_that_fails_stops_the_start(supervisor):
    supervisor.run("migrate", [sys.executable, "-c", "print('fine')"])
    with pytest.raises(ServiceFailed, match=r"(?s)migrate ended with status 1.*no such column"):
        supervisor.run("migrate", [sys.executable, "-c", "raise SystemExit('no such column')"])


def test_stopping_goes_from_the_last_started_to_the_first(supervisor, var):
    trace = var / "trace"
    for name in ("first ", "second "):
        supervisor.start(a_service(name.strip(), NOTES_ITS_END.format(trace=str(trace), name=name)))
        wait_until(lambda: "up" in supervisor.children[-1].log.unseen())
    supervisor.stop()
    assert trace.read_text() == "second first "


def test_a_service_deaf_to_sigterm_is_killed_when_patience_ends(supervisor, var):
    supervisor.start(a_service("deaf", STUBBORN, patience=0.5))
    wait_until(lambda: "deaf" in supervisor.children[0].log.unseen())
    supervisor.stop()
    assert not find_marked(var)


def test_orphans_of_a_killed_supervisor_are_found_and_ended(var):
    leader = spawn("parent", (sys.executable, "-c", PARENT), var=var)
    wait_until(lambda: len(find_marked(var)) == 2)
    leader.kill()
    leader.wait()
    assert end_orphans(var) == 1
    assert not find_marked(var)


def test_another_folders_processes_are_left_alone(var, tmp_path):
    other = spawn("sleeper", (sys.executable, "-c", SLEEP), var=tmp_path)
    try:
        assert end_orphans(var) == 0
        assert psutil.Process(other.pid).is_running()
    finally:
        other.kill()
        other.wait()


def test_one_supervisor_holds_a_folder_and_the_next_is_told_where_it_serves(var):
    url = "http://127.0.0.1:8000/"
    with hold(var, serving=url), pytest.raises(AlreadyRunning, match=url), hold(var, serving="another"):
        pass
    with hold(var, serving="again"):
        pass


def test_a_folder_held_by_a_process_that_was_killed_is_free(var):
    holder = subprocess.Popen([sys.executable, "-c", HOLDS.format(var=str(var))], stdout=subprocess.PIPE)
    assert holder.stdout.readline() == b"held\n"
    with pytest.raises(AlreadyRunning), hold(var, serving="y"):
        pass
    holder.kill()
    holder.communicate()
    with hold(var, serving="y"):
        pass


def test_a_folder_of_sockets_that_somebody_else_made_is_refused(tmp_path):
    make_private(tmp_path / "ours")
    assert (tmp_path / "ours").stat().st_mode & 0o777 == 0o700

    (tmp_path / "link").symlink_to(tmp_path / "ours")
    with pytest.raises(UnsafeFolder, match="link"):
        make_private(tmp_path / "link")

"""The whole as bin/run starts it: what is there when it says so, what survives a kill, what a stop leaves."""

import http.client
import os
import shutil
import signal
import socket
import subprocess
import sys
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
import psycopg
import pytest

from config.local.processes import end_orphans, find_marked
from config.settings import SOCKETS, socket_folder
from tests.config.conftest import a_folder
from tests.config.test_supervisor import wait_until

ROOT = Path(__file__).resolve().parent.parent.parent
PATIENCE = 240  # seconds: machines that test are busy
EVERYTHING = {"postgres", "valkey", "web", "default", "gpu", "scorer", "beat"}


class Whole:
    """A running `python -m config.local` on a folder and a port of its own."""

    def __init__(self, var, **environment):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.var, self.sockets = var, socket_folder(var)
        ours = {"LAUREL_VAR": str(var), "LAUREL_PORT": str(self.port), "LAUREL_DEMO": "off"}
        theirs = {"DATABASE_URL": "", "CELERY_BROKER_URL": ""}
        self.environment = {**os.environ, **theirs, **ours, **environment}
        self.output = (var / "output").open("a+")
        self.start()

    def start(self):
        self.process = subprocess.Popen(
            [sys.executable, "-m", "config.local"],
            cwd=ROOT, env=self.environment, stdout=self.output, stderr=subprocess.STDOUT,
        )  # fmt: skip
        return self

    def said(self):
        self.output.seek(0)
        return self.output.read()

    def wait_until_ready(self):
        wait_until(lambda: self.process.poll() is not None or "Laurel is ready" in self.said(), PATIENCE)
        assert self.process.poll() is None, self.said()
        return self

    def status_of(self, path):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        try:
            connection.request("GET", path)
            return connection.getresponse().status
        except OSError:
            return None
        finally:
            connection.close()

    def leaders(self):
        """The first process of each service: the one that leads its session."""
        found = {}
        for process in find_marked(self.var):
            with suppress(psutil.Error, ProcessLookupError, KeyError):  # gone since, or just becoming another
                if os.getsid(process.pid) == process.pid:
                    found[process.environ()["LAUREL_SERVICE"].rpartition(":")[2]] = process.pid
        return found

    def connect(self):
        return psycopg.connect(f"host={self.sockets} user=postgres dbname=laurel", autocommit=True)


@contextmanager
def whole_laurel(**environment):
    with a_folder() as var:
        var.chmod(0o755)
        whole = Whole(var, **environment)
        try:
            yield whole
        finally:
            whole.process.kill()
            whole.process.wait()
            whole.output.close()
            end_orphans(var)
            shutil.rmtree(whole.sockets, ignore_errors=True)


@pytest.fixture(scope="module")
def whole():
    """One Laurel for the tests below, each of which leaves it running: its first start is the slow one."""
    with whole_laurel() as whole:
        yield whole.wait_until_ready()


def test_the_first_page_sends_a_stranger_to_sign_in(whole):
    assert whole.status_of("/healthz") == 200
    assert whole.status_of("/") == 302


def test_other_users_of_the_machine_read_nothing(whole):
    made = [
        whole.var,
        *(whole.var / "log").iterdir(),
        *(whole.var / "static").iterdir(),
        whole.var / "secret_key",
    ]
    assert [path for path in made if path.stat().st_mode & 0o077] == []


def test_a_second_start_is_told_where_the_first_serves(whole):
    command = [sys.executable, "-m", "config.local"]
    second = subprocess.run(command, cwd=ROOT, env=whole.environment, capture_output=True, text=True)
    assert second.returncode == 1
    assert f"already running: http://127.0.0.1:{whole.port}/" in second.stderr
    assert whole.status_of("/healthz") == 200


def test_every_process_survives_a_kill_and_nothing_is_lost(whole):
    wait_until(lambda: whole.leaders().keys() == EVERYTHING, PATIENCE)
    first = whole.leaders()
    with whole.connect() as connection:
        connection.execute("CREATE TABLE answers AS SELECT 42 AS answer")

    for pid in first.values():
        os.kill(pid, signal.SIGKILL)

    def all_new():
        now = whole.leaders()
        return now.keys() == EVERYTHING and not set(now.values()) & set(first.values())

    wait_until(all_new, PATIENCE)
    wait_until(lambda: whole.status_of("/readyz") == 200, PATIENCE)
    with whole.connect() as connection:
        assert connection.execute("SELECT answer FROM answers").fetchone() == (42,)


def test_a_start_after_the_supervisor_was_killed_ends_its_orphans_and_sets_nothing_up_again(whole):
    orphans = {process.pid for process in find_marked(whole.var)}
    whole.process.kill()
    whole.process.wait()

    whole.output.truncate(0)
    whole.start().wait_until_ready()
    assert not orphans & {process.pid for process in find_marked(whole.var)}
    assert "No migrations to apply" in whole.said()
    assert "static |" not in whole.said()


def test_a_stop_leaves_nothing_behind_and_the_next_start_finds_everything(whole):
    whole.process.send_signal(signal.SIGTERM)
    assert whole.process.wait(timeout=PATIENCE) == 0
    assert not find_marked(whole.var)

    whole.output.truncate(0)
    whole.start().wait_until_ready()
    with whole.connect() as connection:
        assert connection.execute("SELECT count(*) FROM django_migrations").fetchone() > (0,)


def test_real_servers_are_used_and_no_embedded_ones_started():
    with psycopg.connect(f"host={SOCKETS} user=postgres dbname=postgres", autocommit=True) as connection:
        connection.execute("CREATE DATABASE production")
    servers = {
        "DATABASE_URL": f"postgresql://postgres@/production?host={SOCKETS}",
        "CELERY_BROKER_URL": f"redis+socket://{SOCKETS}/valkey.sock?virtual_host=1",
    }
    with whole_laurel(**servers) as whole:
        whole.wait_until_ready()
        assert whole.status_of("/readyz") == 200
        wait_until(lambda: whole.leaders().keys() == EVERYTHING - {"postgres", "valkey"}, PATIENCE)
        assert not (whole.var / "postgres").exists()
        assert not (whole.var / "valkey").exists()


def test_a_port_that_is_taken_is_named_before_anything_is_started():
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        with whole_laurel(LAUREL_PORT=str(other.getsockname()[1])) as whole:
            assert whole.process.wait(timeout=PATIENCE) == 1
            assert "set LAUREL_PORT" in whole.said()
            assert not (whole.var / "postgres").exists()

"""The whole as bin/run starts it: what is there when it says so, what survives a kill, what a stop leaves."""

import http.client
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import psycopg
import pytest

from config.services.postgres import Cluster, create_database, postgres
from config.services.processes import end_orphans, find_marked
from config.services.valkey import valkey
from config.settings import socket_folder
from tests.config.test_supervisor import wait_until

ROOT = Path(__file__).resolve().parent.parent.parent
EVERYTHING = {"postgres", "valkey", "web", "default", "gpu", "beat"}


class Whole:
    """A running `python -m config.services` on a folder and a port of its own."""

    def __init__(self, var, **environment):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.var, self.sockets = var, socket_folder(var)
        ours = {"LAUREL_VAR": str(var), "LAUREL_PORT": str(self.port), "LAUREL_DEMO": "off"}
        theirs = {"DATABASE_URL": "", "CELERY_BROKER_URL": ""}
        self.environment = {**os.environ, **theirs, **ours, **environment}
        self.output = (var.parent / f"{var.name}.out").open("a+")
        self.start()

    def start(self):
        self.process = subprocess.Popen(
            [sys.executable, "-m", "config.services"],
            cwd=ROOT, env=self.environment, stdout=self.output, stderr=subprocess.STDOUT,
        )  # fmt: skip
        return self

    def said(self):
        self.output.seek(0)
        return self.output.read()

    def wait_until_ready(self):
        wait_until(lambda: self.process.poll() is not None or "Laurel is ready" in self.said(), seconds=90)
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
        return {
            process.environ()["LAUREL_SERVICE"].rpartition(":")[2]: process.pid
            for process in find_marked(self.var)
            if os.getsid(process.pid) == process.pid
        }

    def connect(self):
        return psycopg.connect(f"host={self.sockets} user=postgres dbname=laurel", autocommit=True)


@pytest.fixture
def begin(var):
    begun = []

    def begin(**environment):
        begun.append(Whole(var, **environment))
        return begun[-1]

    yield begin
    for whole in begun:
        whole.process.kill()
        whole.process.wait()
        whole.output.close()
        Path(whole.output.name).unlink()
    end_orphans(var)
    shutil.rmtree(socket_folder(var), ignore_errors=True)


def test_every_process_survives_a_kill_and_nothing_is_lost(begin, var):
    whole = begin().wait_until_ready()
    wait_until(lambda: whole.leaders().keys() == EVERYTHING)
    first = whole.leaders()
    with whole.connect() as connection:
        connection.execute("CREATE TABLE answers AS SELECT 42 AS answer")

    for pid in first.values():
        os.kill(pid, signal.SIGKILL)

    def all_new():
        now = whole.leaders()
        return now.keys() == EVERYTHING and not set(now.values()) & set(first.values())

    wait_until(all_new, seconds=60)
    wait_until(lambda: whole.status_of("/readyz") == 200, seconds=60)
    with whole.connect() as connection:
        assert connection.execute("SELECT answer FROM answers").fetchone() == (42,)

    whole.process.send_signal(signal.SIGTERM)
    assert whole.process.wait(timeout=60) == 0
    assert not find_marked(var)


def test_a_second_start_is_told_where_the_first_serves(begin, var):
    first = begin().wait_until_ready()
    second = subprocess.run(
        [sys.executable, "-m", "config.services"],
        cwd=ROOT,
        env=first.environment,
        capture_output=True,
        text=True,
    )
    assert second.returncode == 1
    assert f"already running: http://127.0.0.1:{first.port}/" in second.stderr
    assert first.status_of("/healthz") == 200


def test_a_start_after_the_supervisor_was_killed_ends_its_orphans_and_is_quick(begin, var):
    whole = begin().wait_until_ready()
    orphans = {process.pid for process in find_marked(var)}
    whole.process.kill()
    whole.process.wait()
    assert find_marked(var)

    whole.output.truncate(0)
    began = time.monotonic()
    whole.start().wait_until_ready()
    assert time.monotonic() - began < 60
    assert not orphans & {process.pid for process in find_marked(var)}


def test_real_servers_are_used_and_no_embedded_ones_started(begin, var, supervisor):
    elsewhere = var / "elsewhere"
    cluster = Cluster(elsewhere / "postgres", elsewhere / "s")
    supervisor.start(postgres(cluster), valkey(elsewhere / "valkey", elsewhere / "s"))
    create_database(cluster, "production")
    whole = begin(
        LAUREL_VAR=str(var / "ours"),
        DATABASE_URL=f"postgresql://postgres@/production?host={elsewhere}/s",
        CELERY_BROKER_URL=f"redis+socket://{elsewhere}/s/valkey.sock",
    ).wait_until_ready()
    assert whole.status_of("/readyz") == 200
    assert not (var / "ours" / "postgres").exists()
    assert not (var / "ours" / "valkey").exists()
    whole.process.send_signal(signal.SIGINT)
    assert whole.process.wait(timeout=60) == 0


def test_a_port_that_is_taken_is_named_before_anything_else_fails(begin, var):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        whole = begin(LAUREL_PORT=str(other.getsockname()[1]))
        assert whole.process.wait(timeout=90) == 1
    assert "set LAUREL_PORT" in whole.said()
    assert not find_marked(var)

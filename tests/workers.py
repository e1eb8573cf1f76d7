"""A real Celery worker on the test database and the throw-away broker."""

import os
import subprocess
import sys
from urllib.parse import quote

import pytest
from django.db import connection

from config.celery import app

QUEUES = ("default", "gpu")


def database_url() -> str:
    """DATABASE_URL as another process must have it to see the rows of the tests."""
    to = connection.settings_dict
    asked = {"host": to["HOST"], "port": to["PORT"], **to.get("OPTIONS", {})}
    query = "&".join(f"{key}={quote(str(value))}" for key, value in asked.items() if value)
    return f"postgresql://{quote(to['USER'])}:{quote(to['PASSWORD'])}@/{to['NAME']}?{query}"


@pytest.fixture(scope="session")
def worker_process(django_db_setup, django_db_blocker):
    with django_db_blocker.unblock():
        environment = {**os.environ, "DATABASE_URL": database_url()}
    command = [sys.executable, "-m", "celery", "--quiet", "-A", "config.celery", "worker"]
    options = ["--queues", ",".join(QUEUES), "--pool", "solo", "--without-gossip", "--without-mingle"]
    process = subprocess.Popen([*command, *options], env=environment)
    while not app.control.ping(timeout=0.5, limit=1):
        assert process.poll() is None, "the worker ended while starting"
    yield process
    process.terminate()
    try:
        process.wait(timeout=15)
    except subprocess.TimeoutExpired:
        process.kill()


@pytest.fixture
def worker(transactional_db, worker_process):
    """What is queued in this test is done by another process, which sees what this test commits."""
    app.control.purge()
    return worker_process


@pytest.fixture
def no_worker():
    """What is queued in this test waits, also where an earlier test has started a worker."""
    for queue in QUEUES:
        app.control.cancel_consumer(queue, reply=True, timeout=1, limit=1)
    yield
    app.control.purge()
    for queue in QUEUES:
        app.control.add_consumer(queue, reply=True, timeout=1, limit=1)

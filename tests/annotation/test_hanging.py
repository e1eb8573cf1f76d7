"""A part that hangs, and is not down: whoever needs it is told within seconds, and loses nothing."""

import select
import socket
import time
from contextlib import contextmanager

import psutil
import pytest
from botocore.config import Config
from botocore.exceptions import BotoCoreError
from django.db import OperationalError, connections
from django.urls import reverse

from annotation.models import Export, FileFault
from annotation.services.recovery.looks import look_at_files
from annotation.waking import LATE
from config.celery import app
from config.database.silence import give_up_on_silence
from config.health import database_answers
from config.local.processes import find_marked
from config.settings import VAR
from tests.cast import NOW

SOON = 15  # seconds: machines that test are busy


@contextmanager
def suspended(service):
    """Stop the first process of a service, as SIGSTOP does: it takes connections, and says nothing."""
    leader = min(find_marked(VAR, service), key=lambda process: process.create_time())
    leader.suspend()
    begun = time.monotonic()
    try:
        yield
        assert time.monotonic() - begun < SOON
    finally:
        leader.resume()


def test_an_export_is_stored_and_its_page_says_who_does_not_answer(client, ada, project, settings):
    client.force_login(ada)
    options = {**settings.CELERY_BROKER_TRANSPORT_OPTIONS, "socket_timeout": 0.2}
    settings.CELERY_BROKER_TRANSPORT_OPTIONS = options  # of /readyz alone
    page = reverse("project-exports", args=[project.slug])
    app.control.ping(timeout=0.01)  # there is a connection by now, as there is in a process that serves
    with suspended("valkey"):
        response = client.post(page, {"format": "csv"}, follow=True)
        assert LATE in response.content.decode()
        assert client.get("/readyz").json()["broker"] is False
    assert Export.objects.get().state == Export.State.QUEUED
    assert client.get("/readyz").json()["broker"] is True


def test_a_process_whose_database_hangs_is_not_ready(client, db):
    with suspended("postgres"):
        response = client.get("/readyz")
    assert (response.status_code, response.json()["database"]) == (503, False)


def test_probes_that_come_close_together_look_once(client, db, settings):
    assert client.get("/readyz").status_code == 200
    settings.READY_FRESH_SECONDS = 600
    settings.CELERY_BROKER_URL = "redis+socket:///nowhere/valkey.sock"
    assert client.get("/readyz").status_code == 200
    settings.READY_FRESH_SECONDS = 0
    assert client.get("/readyz").status_code == 503


@pytest.fixture
def opened(db):
    """A connection of its own, and the process that serves it."""
    other = connections.create_connection("default")
    with other.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        process = psutil.Process(cursor.fetchone()[0])
    give_up_on_silence(other, is_alive=database_answers, seconds=0.2)
    yield other, process
    other.close()


def test_a_database_that_hangs_under_an_open_connection_is_given_up(opened):
    other, process = opened
    process.suspend()
    try:
        with (
            suspended("postgres"),
            other.cursor() as cursor,
            pytest.raises(OperationalError, match="silent for 0 s, and answers nobody"),
        ):
            cursor.execute("SELECT 1")
    finally:
        process.resume()
    assert not other.is_usable()
    other.close()
    with other.cursor() as cursor:  # the next request connects anew
        cursor.execute("SELECT 1")


def test_a_statement_that_takes_long_is_waited_for(opened):
    with opened[0].cursor() as cursor:
        cursor.execute("SELECT 'done' FROM pg_sleep(0.8)")
        assert cursor.fetchone() == ("done",)


def test_a_request_is_no_statement_longer_for_asking_whether_its_connection_lives(opened):
    other, process = opened
    other.health_check_enabled, other.health_check_done = True, False
    process.suspend()  # it would be asked in vain
    try:
        other.close_if_health_check_failed()
    finally:
        process.resume()
    assert other.health_check_done


@pytest.mark.parametrize("end", ["by the server", "here", "unseen"])
def test_a_connection_is_replaced_that_was_ended_or_long_silent_and_does_not_answer(opened, monkeypatch, end):
    other, process = opened
    other.health_check_enabled, other.health_check_done = True, False
    if end == "unseen":
        monkeypatch.setattr("config.database.base.CHECKED_SECONDS", 0)
    if end == "here":
        other.connection.close()
    else:
        process.terminate()
        select.select([other.connection.pgconn.socket], [], [], SOON)
    before = other.connection
    with other.cursor() as cursor:
        cursor.execute("SELECT 1")
    assert other.connection is not before


@pytest.fixture
def silent_storage(settings):
    """S3 where connections are taken and nothing is said."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        options = {
            **{"bucket_name": "images", "access_key": "a", "secret_key": "a"},
            "endpoint_url": f"http://127.0.0.1:{listener.getsockname()[1]}",
            "client_config": Config(connect_timeout=0.2, read_timeout=0.2, retries={"total_max_attempts": 1}),
        }
        s3 = {"BACKEND": "storages.backends.s3.S3Storage", "OPTIONS": options}
        settings.STORAGES = {**settings.STORAGES, "default": s3}
        yield


@pytest.mark.parametrize("path", ["image", "thumbnail"])
def test_an_image_whose_storage_hangs_is_not_there_now(request, path, client, ada, a_prompt):
    token = a_prompt().generations.first().image.token
    request.getfixturevalue("silent_storage")
    client.force_login(ada)
    response = client.get(reverse(path, args=[token]))
    assert (response.status_code, response.headers["Cache-Control"]) == (503, "no-store")


def test_a_look_at_files_of_a_storage_that_hangs_takes_none_for_damaged(request, a_prompt):
    a_prompt()
    request.getfixturevalue("silent_storage")
    with pytest.raises(BotoCoreError):
        look_at_files(now=NOW, seconds=SOON)
    assert not FileFault.objects.exists()

"""A part that hangs, and is not down: whoever needs it is told within seconds, and loses nothing."""

import time
from contextlib import contextmanager

from django.urls import reverse

from annotation.models import Export
from annotation.waking import LATE
from config.celery import app
from config.local.processes import find_marked
from config.settings import VAR

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


def test_an_export_is_stored_and_its_page_says_who_does_not_answer(client, ada, project):
    client.force_login(ada)
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

"""A request is found in every log that it leaves a trace in, from the page to the run."""

import json
import logging
import sys

import pytest
from celery import shared_task
from celery.app.trace import build_tracer
from celery.signals import before_task_publish
from django.utils import timezone

from annotation import request_ids, waking
from annotation.models import Export
from annotation.services.exports import request_export
from config.celery import app
from config.lines import JSONFormatter, LineFormatter, formatter
from tests.cast import *  # noqa: F403

GIVEN = "edge-7f3a.0001"


def record(message="it went on", **fields):
    record = logging.LogRecord("laurel.x", logging.INFO, "", 0, message, (), fields.pop("exc_info", None))
    record.__dict__.update(fields)
    return record


@pytest.mark.parametrize(
    "given", ["", "short", "a b c d e f g h", "x" * 65, "é" * 10, "12345678\nforged line"]
)
def test_an_id_that_is_not_well_formed_is_replaced(given, client):
    answered = client.get("/healthz", headers={"X-Request-ID": given})["X-Request-ID"]
    assert answered != given
    assert request_ids.WELL_FORMED.fullmatch(answered)


def test_an_id_from_a_proxy_in_front_is_taken_and_returned(client):
    assert client.get("/healthz", headers={"X-Request-ID": GIVEN})["X-Request-ID"] == GIVEN


def test_each_line_names_its_request():
    with request_ids.working_for(GIVEN):
        line = LineFormatter("{levelname} {message}", style="{").format(record())
    assert line == f"INFO it went on [request {GIVEN}]"
    assert LineFormatter("{message}", style="{").format(record()) == "it went on"
    assert LineFormatter("{message}", style="{").format(record(request_id=GIVEN)).endswith(f"{GIVEN}]")


def test_logs_are_json_where_that_is_asked(monkeypatch):
    monkeypatch.setenv("LOG_FORMAT", "json")
    try:
        raise ValueError("no /join/" + "k" * 43)
    except ValueError:
        failed = record("see /join/" + "k" * 43 + "\nor", exc_info=sys.exc_info(), milliseconds=12)
    with request_ids.working_for(GIVEN):
        written = formatter().format(failed)
    assert "\n" not in written
    line = json.loads(written)
    assert line["message"] == "see /join/***\nor"
    assert line["exception"].endswith("ValueError: no /join/***")
    assert (line["level"], line["logger"], line["milliseconds"]) == ("INFO", "laurel.x", 12)
    assert line["request_id"] == GIVEN
    assert line["time"].endswith("+00:00")
    assert isinstance(formatter(), JSONFormatter)


def test_the_request_goes_with_the_message_to_the_worker_and_onto_the_job(project, ada):
    published = []

    def publish(*args, headers, **_):
        published.append(headers)

    before_task_publish.connect(publish)
    try:
        with request_ids.working_for(GIVEN):
            export = request_export(project=project, by=ada, now=timezone.now(), format="csv")
            waking.send("annotation.tasks.nothing", (), expires=0.001)
    finally:
        before_task_publish.disconnect(publish)
    assert [headers["request_id"] for headers in published] == [GIVEN]
    assert Export.objects.get(pk=export.pk).request_id == GIVEN


@shared_task
def _tell() -> str:
    return request_ids.current()


@pytest.mark.parametrize(("headers", "request_id"), [({"request_id": GIVEN}, GIVEN), ({}, "id-of-the-task")])
def test_a_task_works_for_the_request_that_asked_and_else_is_known_by_its_own_id(headers, request_id):
    trace = build_tracer(_tell.name, _tell, app=app, eager=True)  # as a worker does a message's work
    assert trace("id-of-the-task", (), {}, headers).retval == request_id
    assert request_ids.current() == ""

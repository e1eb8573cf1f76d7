"""What a load balancer is told."""

import pytest

from config.celery import app


def test_a_process_that_lives_says_so_without_asking_the_database(client):
    assert client.get("/healthz").status_code == 200


def test_a_process_whose_servers_answer_is_ready(client, db):
    response = client.get("/readyz")
    assert (response.status_code, response.json()) == (
        200,
        {"database": True, "broker": True, "scorer": False},
    )


def test_a_process_without_a_broker_is_not_ready_and_says_why(client, db, settings):
    settings.CELERY_BROKER_URL = "redis+socket:///nowhere/valkey.sock"
    response = client.get("/readyz")
    assert (response.status_code, response.json()) == (
        503,
        {"database": True, "broker": False, "scorer": False},
    )


def test_the_page_of_health_reaches_a_browser(page, live_server):
    assert page.goto(f"{live_server.url}/healthz").status == 200


def test_a_worker_of_the_tests_answers_over_the_broker(worker):
    (answer,) = app.control.ping(timeout=10, limit=1)
    assert list(answer.values()) == [{"ok": "pong"}]


@pytest.mark.django_db(transaction=True)
def test_a_script_error_fails_the_test_that_met_it(a_page):
    page = a_page()
    with pytest.raises(Exception, match="boom"):
        page.evaluate("() => { throw new Error('boom') }")

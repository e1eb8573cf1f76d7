"""A real browser: fixtures for tests that click, drag, type and touch."""

import subprocess
import threading
import time

import pytest
from django.db import connection
from playwright.sync_api import Browser, sync_playwright

# It runs as root in CI, where Chromium has no sandbox, and must ask the network nothing.
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@pytest.fixture(scope="session")
def browser():
    """One Chromium for the whole run. Fails, and says what to install, where there is none."""
    found = subprocess.run(["bin/find-browser"], capture_output=True, text=True, check=False)
    if found.returncode != 0:
        pytest.fail(found.stderr, pytrace=False)
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=found.stdout.strip(), args=ARGUMENTS)
        yield chromium
        chromium.close()


@pytest.fixture
def a_page(browser: Browser, request):
    """Opens pages, each in a fresh context: `a_page(has_touch=True)` takes what new_context takes.

    A script error on any of them fails the test.
    """
    contexts, errors = [], []

    def open_page(**options):
        context = browser.new_context(**{"viewport": {"width": 1440, "height": 900}, **options})
        context.set_default_timeout(10_000)
        context.on("weberror", lambda event: errors.append(str(event.error)))
        contexts.append(context)
        return context.new_page()

    yield open_page
    for context in contexts:
        context.close()
    if request.node.get_closest_marker("django_db"):
        wait_until_served()
    assert not errors, "scripts failed on the page"


def wait_until_served(seconds=10.0):
    """Until no request that a page left behind is at work: it may deadlock with the emptying of tables."""
    until = time.monotonic() + seconds
    with connection.cursor() as cursor:
        while time.monotonic() < until:
            cursor.execute(
                "SELECT count(*) FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid() AND state <> 'idle'"
            )
            if cursor.fetchone() == (0,) and not is_serving():
                return
            time.sleep(0.05)


def is_serving():
    """Whether a request is at work in this process: it may be just about to ask the database."""
    return any("process_request_thread" in thread.name for thread in threading.enumerate())


@pytest.fixture
def page(a_page):
    return a_page()

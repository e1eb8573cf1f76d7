"""A real browser: fixtures for tests that click, drag, type and touch."""

import subprocess

import pytest
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
def a_page(browser: Browser):
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
    assert not errors, "scripts failed on the page"


@pytest.fixture
def page(a_page):
    return a_page()

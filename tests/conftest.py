"""What every test may ask for, and how passwords are hashed here."""

import os

import pytest

from tests.browser import a_page, browser, page
from tests.workers import worker, worker_process

__all__ = ["a_page", "browser", "page", "worker", "worker_process"]


def pytest_xdist_setupnodes():
    """Let each process start its services first: where told of settings, pytest-django loads them at once."""
    del os.environ["DJANGO_SETTINGS_MODULE"]


@pytest.fixture(autouse=True)
def _quick_passwords(settings):
    """Real hashing takes half a second for each person who signs in."""
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]

"""What every test may ask for, and how passwords are hashed here."""

import pytest

from tests.browser import a_page, browser, page
from tests.workers import worker, worker_process

__all__ = ["a_page", "browser", "page", "worker", "worker_process"]


@pytest.fixture(autouse=True)
def _quick_passwords(settings):
    """Real hashing takes half a second for each person who signs in."""
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]

"""What every test may ask for, and how passwords are hashed here."""

import os
from pathlib import Path

import pytest

from tests.browser import a_page, browser, page
from tests.workers import no_worker, worker, worker_process

__all__ = ["a_page", "browser", "no_worker", "page", "worker", "worker_process"]


def pytest_xdist_setupnodes():
    """Let each process start its services first: where told of settings, pytest-django loads them at once."""
    del os.environ["DJANGO_SETTINGS_MODULE"]


@pytest.fixture(autouse=True)
def _quick_passwords(settings):
    """Real hashing takes half a second for each person who signs in."""
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]


@pytest.fixture
def remote(settings, monkeypatch, tmp_path) -> Path:
    """Images are kept far away, for this process and for those it starts. Returns: the folder they lie in."""
    folder, modules = tmp_path / "far away", Path(__file__).with_name("far_away")
    monkeypatch.syspath_prepend(modules)
    monkeypatch.setenv("PYTHONPATH", str(modules))
    monkeypatch.setenv("DJANGO_SETTINGS_MODULE", "remote_settings")
    monkeypatch.setenv("REMOTE_STORAGE_FOLDER", str(folder))
    settings.STORAGES = {**settings.STORAGES, "default": {"BACKEND": "remote_storage.RemoteStorage"}}
    settings.IMAGE_CACHE_DIR = tmp_path / "image_cache"
    return folder

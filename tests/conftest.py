"""What every test may ask for, and how passwords are hashed here."""

import os
from pathlib import Path

import pytest
from django.core.management import call_command
from django.db import connection
from django.db.migrations.executor import MigrationExecutor

from tests.browser import a_page, browser, page
from tests.workers import no_worker, worker, worker_process

LONGEST = (
    "rewardmodel/test_training.py",
    "learning/training/test_distributed.py",
    "demo/test_loop.py",
    "config/test_run.py",
)

__all__ = ["a_page", "browser", "no_worker", "page", "worker", "worker_process"]


def pytest_collection_modifyitems(items):
    """Begin with the files that take minutes, so that no process goes on with one when all else is done."""
    items.sort(key=lambda item: not any(item.path.match(path) for path in LONGEST))


def pytest_xdist_setupnodes():
    """Let each process start its services first: where told of settings, pytest-django loads them at once."""
    del os.environ["DJANGO_SETTINGS_MODULE"]


@pytest.fixture(scope="session")
def django_db_setup(django_db_setup, django_db_blocker):
    """What a test that commits left behind is removed by TRUNCATE, the log too."""
    with django_db_blocker.unblock():
        with connection.cursor() as cursor:
            cursor.execute(f"ALTER DATABASE {connection.settings_dict['NAME']} SET laurel.log = 'empty'")
        connection.close()


@pytest.fixture
def migrate_back(transactional_db):
    """Unapply what came after a migration; all are applied again afterwards, however the test ends."""

    def back(app: str, migration: str):
        """Returns: the apps as they were after that migration."""
        executor = MigrationExecutor(connection)
        executor.migrate([(app, migration)])
        return executor.loader.project_state([(app, migration)]).apps

    yield back
    call_command("migrate", verbosity=0)


@pytest.fixture(autouse=True)
def _every_probe_looks(settings):
    settings.READY_FRESH_SECONDS = 0


@pytest.fixture(autouse=True)
def _quick_passwords(settings):
    """Real hashing takes half a second for each person who signs in."""
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]


@pytest.fixture
def remote(settings, monkeypatch, tmp_path) -> Path:
    """Files are kept far away, for this process and for those it starts. Returns: the folder they lie in."""
    folder, modules = tmp_path / "far away", Path(__file__).with_name("far_away")
    monkeypatch.syspath_prepend(modules)
    monkeypatch.setenv("PYTHONPATH", str(modules))
    monkeypatch.setenv("DJANGO_SETTINGS_MODULE", "remote_settings")
    monkeypatch.setenv("REMOTE_STORAGE_FOLDER", str(folder))
    settings.STORAGES = {**settings.STORAGES, "default": {"BACKEND": "remote_storage.RemoteStorage"}}
    settings.VAR, settings.IMAGE_CACHE_DIR = tmp_path, tmp_path / "image_cache"
    return folder

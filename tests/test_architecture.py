"""What holds for the whole: what the web process loads, and what migrations promise."""

import subprocess
import sys
from pathlib import Path

import pytest
from django.apps import apps
from django.core.management import call_command
from django.db import connection
from django.db.migrations.executor import MigrationExecutor

OURS = ("annotation", "rewardmodel", "refl", "demo")
WITH_TABLES = [app.label for app in apps.get_app_configs() if app.label in OURS and app.models_module]
# One after another: setting Django up, and importing each page, endpoint and task of ours.
WEB_PROCESS = """
import sys
import config.wsgi, config.urls, config.celery
config.celery.app.loader.import_default_modules()
from django.contrib import admin
admin.autodiscover()
heavy = {name.partition(".")[0] for name in sys.modules}
print(*sorted(heavy & {"torch", "transformers", "diffusers", "accelerate", "peft"}))
"""


def test_the_web_process_never_imports_torch():
    command = [sys.executable, "-c", WEB_PROCESS]
    loaded = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (loaded.stdout.split(), loaded.returncode) == ([], 0), loaded.stderr


def test_only_the_settings_name_the_kind_of_storage_and_the_folder_of_images():
    named = [
        str(file)
        for app in OURS
        for file in (Path(__file__).parent.parent / app).rglob("*.py")
        if "MEDIA_ROOT" in (text := file.read_text()) or "S3Storage" in text or "settings.S3_" in text
    ]
    assert named == []


@pytest.mark.django_db
def test_no_model_has_changed_without_a_migration():
    call_command("makemigrations", "--check", "--dry-run")


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("app", WITH_TABLES)
def test_every_migration_of_ours_goes_back_and_forth(app):
    try:
        call_command("migrate", app, "zero", "--verbosity", "0")
    finally:
        call_command("migrate", "--verbosity", "0")
    executor = MigrationExecutor(connection)
    assert not executor.migration_plan(executor.loader.graph.leaf_nodes())


def test_every_app_of_ours_is_installed():
    assert {config.label for config in apps.get_app_configs()} >= set(OURS)

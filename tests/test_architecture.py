"""What holds for the whole: what the web process loads, and what migrations promise."""

import subprocess
import sys
import tomllib
from importlib.metadata import distribution, packages_distributions
from pathlib import Path

import pytest
from django.apps import apps
from django.core.management import call_command
from django.db import connection
from django.db.migrations.executor import MigrationExecutor
from django.db.migrations.recorder import MigrationRecorder
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parent.parent
OURS = ("annotation", "rewardmodel", "refl", "demo")
WITH_TABLES = [app.label for app in apps.get_app_configs() if app.label in OURS and app.models_module]
# One after another: setting Django up, and importing each page, endpoint and task of ours, where nothing is
# installed but what the extra `web` asks for.
WEB_PROCESS = """
import sys
sys.modules.update(dict.fromkeys(sys.argv[1:]))
import config.wsgi, config.urls, config.celery
config.celery.app.loader.import_default_modules()
from django.contrib import admin
admin.autodiscover()
"""


def wanted_by(extra):
    """The names of the distributions that this extra, and what it asks for, bring."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    rest = [Requirement(text) for text in project["dependencies"] + project["optional-dependencies"][extra]]
    names = set()
    while rest:
        requirement = rest.pop()
        name = canonicalize_name(requirement.name)
        for asked in ("", *requirement.extras):
            if (name, asked) not in names:
                names.add((name, asked))
                asks = [Requirement(text) for text in distribution(name).requires or []]
                rest += [one for one in asks if not one.marker or one.marker.evaluate({"extra": asked})]
    return {name for name, _ in names}


def test_the_web_process_needs_its_own_packages_alone_and_no_torch():
    wanted = wanted_by("web")
    brought = packages_distributions()
    absent = [name for name, by in brought.items() if not wanted & {canonicalize_name(each) for each in by}]
    assert {"torch", "transformers", "diffusers", "accelerate", "peft"} <= set(absent)
    command = [sys.executable, "-c", WEB_PROCESS, *sorted(set(absent) - set(OURS) - {"config", "laurel"})]
    loaded = subprocess.run(command, capture_output=True, text=True, check=False)
    assert loaded.returncode == 0, loaded.stderr


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


@pytest.mark.usefixtures("migrate_back")
def test_every_migration_of_ours_goes_back_and_forth():
    call_command("migrate", "annotation", "zero", verbosity=0)  # what stands on it first
    assert not {app for app, _ in MigrationRecorder(connection).applied_migrations()} & set(WITH_TABLES)
    call_command("migrate", verbosity=0)
    executor = MigrationExecutor(connection)
    assert not executor.migration_plan(executor.loader.graph.leaf_nodes())


def test_every_app_of_ours_is_installed():
    assert {config.label for config in apps.get_app_configs()} >= set(OURS)

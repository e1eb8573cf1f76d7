"""More ways to sign in, switched on for a test: apps, tables, middleware and addresses, and off again."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import reload

from django.apps import AppConfig, apps
from django.conf import settings
from django.contrib.staticfiles.finders import get_finder
from django.db import connection
from django.template.utils import get_app_template_dirs
from django.test import override_settings
from django.test.signals import reset_template_engines
from django.urls import clear_url_caches

from config.identity import Issuer, apps_of, settings_of

MIDDLEWARE = "allauth.account.middleware.AccountMiddleware"


@contextmanager
def switched_on(
    factors: Sequence[str] = (), issuer: Issuer | None = None, **options: object
) -> Iterator[None]:
    added = apps_of(factors, issuer)
    options = {
        **settings_of(factors, issuer, https=False),
        "MIDDLEWARE": [*settings.MIDDLEWARE, MIDDLEWARE],
        "SECOND_FACTORS": list(factors),
        "OIDC_ISSUER": issuer,
        **options,
    }
    with override_settings(**options):
        installed = _install(added)
        _reload_addresses()
        models = [model for config in installed for model in config.get_models()]
        with connection.schema_editor() as editor:
            for model in models:
                editor.create_model(model)
        try:
            yield
        finally:
            if not connection.in_atomic_block:  # else they go with the test's transaction
                with connection.schema_editor() as editor:
                    for model in reversed(models):
                        editor.delete_model(model)
            for config in installed:
                del apps.app_configs[config.label]
            _forget_apps()
    _reload_addresses()


def _install(names: Sequence[str]) -> list[AppConfig]:
    """Add the apps. Those that are there are not made ready again: they would register pages twice."""
    installed = [AppConfig.create(name) for name in names]
    for config in installed:
        config.apps = apps
        config.models = apps.all_models[config.label]
        apps.app_configs[config.label] = config
    for config in installed:
        config.import_models()
    _forget_apps()
    for config in installed:
        config.ready()
    return installed


def _forget_apps() -> None:
    apps.clear_cache()
    get_app_template_dirs.cache_clear()
    get_finder.cache_clear()
    reset_template_engines(setting="TEMPLATES")


def _reload_addresses() -> None:
    if apps.is_installed("allauth.account") and "annotation.identity.urls" in sys.modules:
        reload(sys.modules["annotation.identity.urls"])
    if "config.urls" in sys.modules:
        reload(sys.modules["config.urls"])
    clear_url_caches()

"""Secret keys: what each signs holds when SECRET_KEY changes; sessions until the earlier key is forgotten."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from os import environ
from threading import Barrier

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.core.management import call_command
from django.utils.crypto import salted_hmac

from annotation import keys
from annotation.models import Webhook
from annotation.selectors.exports import pseudonym
from tests.cast import NOW

OLD = "the key of yesterday"


@pytest.fixture
def var(settings, tmp_path, monkeypatch):
    """A LAUREL_VAR whose key is in its file, and what settings made of it."""
    monkeypatch.delenv("SECRET_KEY", raising=False)
    settings.VAR = tmp_path
    keys.save(tmp_path / keys.SECRET, OLD)
    load(settings)
    return tmp_path


def load(settings):
    """As the next start reads them."""
    settings.SECRET_KEY = secret = keys.secret_key(settings.VAR, "")
    settings.SECRET_KEY_FALLBACKS = keys.earlier_keys(settings.VAR, [])
    settings.PSEUDONYM_KEY = keys.own_key("pseudonym_key", var=settings.VAR, value="", secret=secret)
    settings.WEBHOOK_KEY = keys.own_key("webhook_key", var=settings.VAR, value="", secret=secret)


def test_processes_that_start_for_the_first_time_at_once_have_the_same_key(tmp_path):
    together = Barrier(4)

    def start(var):
        together.wait()
        return keys.secret_key(var, "")

    with ThreadPoolExecutor(4) as processes:
        for number in range(200):
            var = tmp_path / str(number)
            var.mkdir()
            (key,) = set(processes.map(start, [var] * 4))
            assert len(key) > 50
            assert [oct(file.stat().st_mode)[-3:] for file in var.iterdir()] == ["600"]


def test_without_keys_of_their_own_pseudonyms_and_secrets_are_those_of_the_secret_key(var, project, alice):
    expected = salted_hmac("annotation.exports", f"{project.pk}:{alice.pk}", secret=OLD, algorithm="sha256")
    assert pseudonym(project, alice.pk) == expected.hexdigest()[:12]
    hook = Webhook(project=project)
    expected = salted_hmac("annotation.webhook", hook.salt.hex, secret=OLD, algorithm="sha256")
    assert hook.keys(now=NOW) == [expected.digest()]


def test_a_new_secret_key_changes_neither_pseudonyms_nor_webhook_secrets(
    var, settings, project, alice, client
):
    hook = Webhook(project=project)
    before = pseudonym(project, alice.pk), hook.secret
    client.force_login(alice)
    call_command("change_secret_key")
    load(settings)
    assert settings.SECRET_KEY != OLD
    assert (pseudonym(project, alice.pk), hook.secret) == before
    assert client.get("/").context["user"] == alice  # the session of the earlier key
    assert {file.name: oct(file.stat().st_mode)[-3:] for file in var.iterdir()} == dict.fromkeys(
        ("secret_key", "secret_key_fallbacks", "pseudonym_key", "webhook_key"), "600"
    )


def test_forgotten_keys_hold_no_more(var, settings, alice, client):
    client.force_login(alice)
    call_command("change_secret_key")
    call_command("change_secret_key", "--forget")
    load(settings)
    assert settings.SECRET_KEY_FALLBACKS == []
    assert client.get("/").status_code == 302


def test_keys_of_the_environment_are_printed_for_every_host_and_nothing_is_written(
    var, settings, monkeypatch, capsys
):
    monkeypatch.setenv("SECRET_KEY", OLD)
    files = sorted(var.iterdir())
    call_command("change_secret_key")
    lines = dict(line.split("=", 1) for line in capsys.readouterr().out.splitlines())
    assert lines["SECRET_KEY_FALLBACKS"] == OLD
    own = keys.own_key("webhook_key", var=var, value=lines["WEBHOOK_KEY"], secret=lines["SECRET_KEY"])
    assert own == settings.WEBHOOK_KEY
    assert sorted(var.iterdir()) == files


@pytest.mark.parametrize("text", ["abc", "00" * 31, "not hexadecimal"])
def test_a_key_that_is_none_is_refused_by_its_name(tmp_path, text):
    with pytest.raises(ImproperlyConfigured, match="PSEUDONYM_KEY is no key of 64"):
        keys.own_key("pseudonym_key", var=tmp_path, value=text, secret=OLD)


def test_behind_tls_django_finds_nothing_to_warn_of_and_probes_need_no_tls(tmp_path):
    ask = """
import django; django.setup()
from django.core.management import call_command
from django.test import Client
call_command("check", deploy=True, fail_level="WARNING")
ask = lambda path, **headers: Client(headers=headers).get(path, HTTP_HOST="laurel.example.org")
print([ask("/healthz").status_code, ask("/sign-in/").status_code])
print(ask("/healthz", x_forwarded_proto="https")["Strict-Transport-Security"])
"""
    settings = {"HTTPS": "on", "ALLOWED_HOSTS": "laurel.example.org", "LAUREL_VAR": str(tmp_path)}
    others = {name: value for name, value in environ.items() if name != "DJANGO_ALLOW_ASYNC_UNSAFE"}
    asked = subprocess.run(
        [sys.executable, "-c", ask],
        env={**others, **settings, "DJANGO_SETTINGS_MODULE": "config.settings"},
        capture_output=True,
        text=True,
    )
    assert asked.returncode == 0, asked.stderr
    assert "[200, 301]" in asked.stdout
    assert "max-age=31536000" in asked.stdout

"""What the doctor says, and when it says that something is ill."""

import socket
import sys

import pytest
from django.core.management import CommandError, call_command

from annotation.management.commands.doctor import (
    check_broker,
    check_database,
    check_devices,
    check_disk,
    check_scorers,
    check_storage,
)


def ill(findings):
    return {finding.what: finding.advice for finding in findings if finding.advice}


@pytest.mark.django_db
def test_a_database_that_answers_with_all_its_tables_is_well():
    assert ill(check_database()) == {}


def test_tables_that_are_missing_are_ill(migrate_back):
    migrate_back("django_celery_beat", "0001_initial")
    assert "migrate" in ill(check_database())["tables"]


def test_a_broker_is_well_and_a_queue_without_a_worker_is_ill():
    findings = list(check_broker(queues=["nobody's"]))
    assert not findings[0].advice
    assert "Start one: celery -A config worker -Q nobody's" in ill(findings)["worker"]


def test_a_scorer_that_listens_is_well_and_one_that_does_not_is_ill(settings, tmp_path):
    settings.SCORERS = [str(tmp_path / "scorer.sock")]
    assert "serve_scores" in ill(check_scorers())["scorer"]
    settings.SCORERS = ["gpu1"]  # the port is missing
    assert "serve_scores" in ill(check_scorers())["scorer"]
    settings.SCORERS = [str(tmp_path / "scorer.sock")]
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(settings.SCORERS[0])
        listener.listen()
        assert ill(check_scorers()) == {}


def test_storage_that_keeps_what_it_is_given_is_well_and_is_left_clean(settings, tmp_path):
    settings.MEDIA_ROOT = tmp_path
    assert ill(check_storage()) == {}
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_storage_that_cannot_be_written_is_ill(settings, tmp_path):
    settings.MEDIA_ROOT = tmp_path / "file"
    (tmp_path / "file").write_text("no folder")
    assert "storage" in ill(check_storage())


def test_a_full_disk_is_ill(settings, tmp_path, monkeypatch):
    settings.VAR = tmp_path
    assert ill(check_disk()) == {}
    monkeypatch.setattr("annotation.management.commands.doctor.LEAST_FREE_BYTES", 10**18)
    assert "Make room" in ill(check_disk())["disk"]


def test_a_host_without_torch_is_well_and_says_that_runs_are_for_others(monkeypatch):
    assert ill(check_devices()) == {}
    monkeypatch.setitem(sys.modules, "torch", None)
    (finding,) = check_devices()
    assert (finding.advice, "torch is not installed" in finding.result) == ("", True)


@pytest.mark.django_db
def test_the_command_fails_when_something_is_ill(capsys, monkeypatch):
    monkeypatch.setattr("annotation.management.commands.doctor.LEAST_FREE_BYTES", 10**18)
    with pytest.raises(CommandError, match=r"of these needs? attention"):
        call_command("doctor")
    printed = capsys.readouterr().out
    assert "PostgreSQL" in printed
    assert "versions" in printed

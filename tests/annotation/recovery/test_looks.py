"""The scheduled look at stored files names what is gone or changed, and a backup puts it back."""

import hashlib
import io
from datetime import timedelta
from itertools import count
from pathlib import Path

import pytest
from django.core.files.storage import default_storage
from django.core.management import CommandError, call_command

from annotation import stored_files
from annotation.management.commands.doctor import check_files
from annotation.models import FileDigest, FileFault, FileRound, Image
from annotation.services.exports import request_export, run_export
from annotation.services.recovery.looks import REST, look_at_files
from annotation.services.recovery.restore import put_back
from annotation.services.recovery.store import BackupFolder
from rewardmodel.models import DatasetVersion, RewardCheckpoint, TrainingRun
from rewardmodel.services.checkpoints import register_checkpoint
from tests.cast import NOW

COUNTS = {"answers": 0, "left_out": 0}


@pytest.fixture
def stored(project, ada, a_prompt, settings, tmp_path):
    """Three images, an export, a dataset and a reward model that a run made. Returns: their files by kind."""
    settings.VAR = tmp_path
    settings.RUNS_DIR, settings.EXPORTS_DIR = tmp_path / "runs", tmp_path / "exports"
    settings.DATASETS_DIR = tmp_path / "datasets"
    a_prompt()
    export = request_export(project=project, format="csv", by=ada, now=NOW)
    run_export(export, clock=lambda: NOW)
    export.refresh_from_db()
    (tmp_path / "datasets" / "d").mkdir(parents=True)
    rankings = tmp_path / "datasets" / "d" / "rankings.jsonl"
    rankings.write_text("{}\n")
    sha256 = "ca3d163bab055381827226140568f3bef7eaac187cebd76878e0b63e9e442356"  # sha256sum
    dataset = DatasetVersion.objects.create(
        project=project, hash=sha256, folder="d", counts={}, shares={}, answers=0, left_out=0
    )
    initial = register_checkpoint(project=project, name="initial", folder="/elsewhere")
    run = TrainingRun.objects.create(project=project, dataset=dataset, initial=initial, config={})
    RewardCheckpoint.objects.create(project=project, name=f"reward-{run.pk}", run=run)
    weights = run.folder / "best" / "model.safetensors"
    weights.parent.mkdir(parents=True)
    weights.write_bytes(b"weights")
    return {
        "images": Path(default_storage.path(Image.objects.first().file.name)),
        "exports": export.file,
        "datasets": rankings,
        "reward models": weights,
    }


def look(now=NOW, seconds=60.0, **options):
    return look_at_files(now=now, seconds=seconds, **options)


def said():
    return [(finding.result, finding.advice) for finding in check_files()]


def test_all_files_are_read_and_those_that_changed_or_are_gone_are_named(stored):
    assert look() == 6
    assert not FileFault.objects.exists()
    assert said() == [(f"as they were stored; read whole: {kinds('2026-03-14')}", "")]
    for kind, file in stored.items():
        whole = file.read_bytes()
        for damage, fault in (
            (lambda file: file.write_bytes(b"rot"), "has changed"),
            (Path.unlink, "is gone"),
        ):
            damage(file)
            look(afresh=True)
            fault_row = FileFault.objects.get()
            assert fault_row.kind == kind
            assert fault_row.name.endswith(file.name)
            assert fault_row.fault.startswith(fault)
            [(result, advice)] = said()
            assert result == f"{fault_row.name}: {fault_row.fault}"
            assert "restore BACKUPS --faulty" in advice
        with pytest.raises(CommandError, match="1 stored files are not what was stored"):
            call_command("check_files")
        file.write_bytes(whole)
        call_command("check_files")
        assert not FileFault.objects.exists()


def kinds(day):
    return ", ".join(
        f"{kind} {day}" for kind in ("datasets", "exports", "generators", "images", "reward models")
    )


def test_a_look_stops_when_its_time_is_over_and_the_next_goes_on(stored):
    seconds = count()
    read = [look(seconds=0, elapsed=lambda: next(seconds)) for _ in range(3)]
    assert read == [1, 1, 1]
    assert FileRound.objects.get(kind="images").looked_at == 3
    assert look() == 3  # images were read, the rest was not
    assert look() == 0
    assert look(now=NOW + REST - timedelta(minutes=1)) == 0
    assert look(now=NOW + REST) == 6


def test_a_fault_of_what_is_no_longer_there_is_forgotten_after_a_round(stored, project):
    stored["exports"].unlink()
    look()
    assert FileFault.objects.count() == 1
    project.exports.all().delete()
    look(now=NOW + REST)
    assert not FileFault.objects.exists()


def test_faulty_files_are_put_back_from_a_backup_that_has_them(stored, tmp_path):
    store = BackupFolder(tmp_path / "backups")
    look()
    with store.hold():
        for kind in ("images", "reward models"):
            with stored[kind].open("rb") as source:
                store.add(source)
    for file in stored.values():
        file.write_bytes(b"rot")
    look(afresh=True)
    done, left = put_back(folder=store.folder)
    assert sorted(name.partition("/")[0] for name in done) == ["images", "var"]
    assert len(left) == 2
    assert stored["reward models"].read_bytes() == b"weights"
    assert FileDigest.objects.count() == 1
    with pytest.raises(CommandError, match="2 files are in no backup as they were, such as var/datasets"):
        call_command("restore", store.folder, "--faulty")


def test_files_of_hosts_that_share_no_folder_are_looked_at_in_the_storage(
    remote, project, tmp_path, settings
):
    dataset = DatasetVersion.objects.create(
        project=project, hash=hashlib.sha256(b"{}\n").hexdigest(), folder="d", counts={}, shares={}, **COUNTS
    )
    settings.DATASETS_DIR = tmp_path / "datasets"
    dataset.path.mkdir(parents=True)
    (dataset.path / "rankings.jsonl").write_text("{}\n")
    stored_files.store(dataset.path)
    stored_files.let_go(dataset.path)
    assert look() == 1
    assert not FileFault.objects.exists()

    [stored] = [file for file in remote.rglob("*") if file.is_file()]
    stored.write_text("rot")
    look(afresh=True)
    fault = FileFault.objects.get()
    assert (fault.name, fault.fault) == ("var/datasets/d/rankings.jsonl", "has changed since it was stored")
    backups = BackupFolder(tmp_path / "backups")
    with backups.hold():
        backups.start()
        backups.add(io.BytesIO(b"{}\n"))
    assert put_back(folder=backups.folder) == (["var/datasets/d/rankings.jsonl"], [])
    assert stored.read_text() == "{}\n"

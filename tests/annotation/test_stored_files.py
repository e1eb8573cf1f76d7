"""Files below LAUREL_VAR for hosts that share nothing but the database and a storage."""

from datetime import timedelta
from threading import get_ident

import pytest
from django.utils.timezone import now

from annotation import stored_files
from annotation.models import LooseObject, StoredFile
from annotation.stored_files import NotStored

pytestmark = pytest.mark.django_db


@pytest.fixture
def on(settings, tmp_path):
    """`on("b")`: from now on this process is on another host. Returns: its LAUREL_VAR."""

    def move(host):
        settings.VAR, settings.IMAGE_CACHE_DIR = tmp_path / host, tmp_path / host / "image_cache"
        settings.VAR.mkdir(exist_ok=True)
        return settings.VAR

    return move


def write(folder, **files):
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name).write_text(text)
    return folder


def read(folder):
    with stored_files.local_copy(folder) as copy:
        return {str(file.relative_to(copy)): file.read_text() for file in copy.rglob("*") if file.is_file()}


def objects(remote):
    return {path.parent.name: path.read_text() for path in remote.rglob("*") if path.is_file()}


@pytest.fixture
def store(django_capture_on_commit_callbacks):
    """What it does when the transaction is committed is done at once."""

    def commit(folder, **options):
        with django_capture_on_commit_callbacks(execute=True):
            stored_files.store(folder, **options)

    return commit


def test_on_a_local_disk_nothing_is_stored_and_the_files_are_the_files(on, store, media):
    run = write(on("a") / "runs" / "reward-1", state="1")
    store(run)
    stored_files.let_go(run)
    with stored_files.local_copy(run) as copy:
        assert copy == run
    assert stored_files.file_names(run) == ["state"]
    assert not StoredFile.objects.exists()
    assert not list(media.iterdir())


def test_what_one_host_stores_another_reads_and_the_first_may_let_go_of_it(on, store, remote, settings):
    run = write(on("a") / "runs" / "reward-1", state="1")
    write(run / "best", weights="w")
    (run / ".state.new").write_text("half written")
    store(run)
    stored_files.let_go(run)
    assert not run.exists()

    run = on("b") / "runs" / "reward-1"
    assert read(run) == {"state": "1", "best/weights": "w"}
    assert read(run / "best") == {"weights": "w"}
    assert stored_files.open_file(run / "state").read() == b"1"
    assert stored_files.file_names(run) == ["best/weights", "state"]
    assert (stored_files.exists(run / "best"), stored_files.exists(run / "worst")) == (True, False)
    assert not run.exists()
    assert len([file for file in (settings.IMAGE_CACHE_DIR / "images").rglob("*") if file.is_file()]) == 2

    stored_files.fetch(run)
    assert read(run) == {"state": "1", "best/weights": "w"}
    assert not (run / "best").is_symlink()


def test_what_is_replaced_or_removed_leaves_the_storage_and_what_is_unchanged_is_not_sent_again(
    on, store, remote, monkeypatch
):
    run, digests = write(on("a") / "runs" / "reward-1", config="c", state="1", draft="d"), {}
    store(run, digests=digests)
    assert objects(remote) == {"config": "c", "state": "1", "draft": "d"}
    when = (remote / StoredFile.objects.get(name="runs/reward-1/config").object).stat().st_mtime_ns

    write(run, state="2")
    (run / "draft").unlink()
    store(run, digests=digests)
    assert objects(remote) == {"config": "c", "state": "2"}
    assert (remote / StoredFile.objects.get(name="runs/reward-1/config").object).stat().st_mtime_ns == when
    assert read(run) == {"config": "c", "state": "2"}
    assert not LooseObject.objects.exists()


def test_a_host_that_may_not_change_a_folder_any_more_leaves_it_as_it_is(on, store, remote):
    run = write(on("a") / "runs" / "reward-1", state="1")
    store(run)

    def refuse():
        raise PermissionError

    write(run, state="2")
    with pytest.raises(PermissionError):
        store(run, fence=refuse)
    assert read(on("b") / "runs" / "reward-1") == {"state": "1"}
    assert stored_files.delete_loose() == 0  # it may be about to be named
    LooseObject.objects.update(since=now() - timedelta(days=2))
    assert stored_files.delete_loose() == 1
    assert objects(remote) == {"state": "1"}


def test_what_a_killed_process_left_stays_where_it_is_stored_once_more_meanwhile(
    on, store, remote, monkeypatch
):
    from remote_storage import RemoteStorage

    def refuse():
        raise PermissionError

    run, delete = write(on("a") / "runs" / "reward-1", config="c", state="1"), RemoteStorage.delete
    with pytest.raises(PermissionError):
        store(run, fence=refuse)
    LooseObject.objects.update(since=now() - timedelta(days=2))

    def delete_while_the_run_is_taken_over(storage, name):
        delete(storage, name)
        monkeypatch.setattr(RemoteStorage, "delete", delete)
        store(run)

    monkeypatch.setattr(RemoteStorage, "delete", delete_while_the_run_is_taken_over)
    stored_files.delete_loose()
    assert read(run) == {"config": "c", "state": "1"}


def test_files_that_are_written_meanwhile_are_stored_as_they_were_at_one_moment(
    on, store, remote, monkeypatch
):
    from remote_storage import RemoteStorage

    run, save = write(on("a") / "runs" / "reward-1", log="line 1\n", state="1"), RemoteStorage._save

    def save_while_the_run_goes_on(storage, name, content):
        with (run / "log").open("a") as log:
            log.write("line 2\n")
        new = f"new-{get_ident()}"  # files are stored by several threads at once
        write(run, **{new: "2"}).joinpath(new).replace(run / "state")
        return save(storage, name, content)

    monkeypatch.setattr(RemoteStorage, "_save", save_while_the_run_goes_on)
    store(run)
    assert read(run) == {"log": "line 1\n", "state": "1"}


def test_a_file_that_the_storage_lacks_is_named(on, store, remote):
    run = write(on("a") / "runs" / "reward-1", state="1")
    store(run)
    for file in remote.rglob("state/*"):
        file.unlink()
    with pytest.raises(NotStored, match="runs/reward-1/state: the storage has no stored/runs/reward-1/state"):
        read(run)
    with pytest.raises(NotStored):
        stored_files.fetch(run)


def test_copies_keep_to_the_bound_of_the_cache_that_they_share_with_images(on, store, remote, settings):
    settings.IMAGE_CACHE_BYTES = 5
    runs = [write(on("a") / "runs" / f"reward-{n}", state="1" * 3 + str(n)) for n in range(3)]
    for run in runs:
        store(run)
        assert read(run)
    assert len(list((settings.IMAGE_CACHE_DIR / "images").rglob("*/*"))) == 1


def test_a_copy_that_another_process_lets_go_of_meanwhile_is_passed_over(on, store, remote, settings):
    run = write(on("a") / "runs" / "reward-1", state="1")
    store(run)
    settings.IMAGE_CACHE_DIR.mkdir()
    (settings.IMAGE_CACHE_DIR / "view-b").symlink_to("gone")  # listed, and then it is not there
    assert read(run) == {"state": "1"}


def test_removed_files_are_gone_everywhere(on, store, remote, django_capture_on_commit_callbacks):
    upload = write(on("a") / "uploads" / "1", file="a prompt")
    store(upload)
    with django_capture_on_commit_callbacks(execute=True):
        stored_files.remove(upload)
    assert not upload.exists()
    assert not objects(remote)
    assert not stored_files.exists(upload)

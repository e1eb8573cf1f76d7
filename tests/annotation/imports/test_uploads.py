"""Files sent from a browser: what is in them is imported whole, or they are refused beside the field."""

import io
import json
import tempfile
import threading
import zipfile
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from time import monotonic, sleep

import pyarrow
import pytest
from django.core.exceptions import ValidationError
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import connection, connections, transaction
from django.utils.timezone import now

from annotation import jobs
from annotation.forms.projects import free_slug
from annotation.models import Action, Assignment, Generation, LooseObject, Project, Prompt, Upload
from annotation.services.exports import request_export
from annotation.services.imports import (
    ImportRefused,
    RankingOptions,
    archives,
    cancel_import,
    import_rankings,
    import_upload,
    request_import,
    run_import,
    start_project,
    worker,
)
from annotation.services.imports.worker import ImportsBusy, bounded_memory
from annotation.tasks import import_file, wake_import
from tests.annotation.imports.rows import ranking_row
from tests.annotation.projects.test_pages import as_
from tests.cast import NOW, picture


def manifest(*prompts):
    return "\n".join(
        json.dumps({"prompt_id": key, "prompt": f"a fox, take {key}", "images": [{"file": f} for f in files]})
        for key, *files in prompts
    )


def archive(**files):
    """A .zip of the files; `__` in a name is a folder's end, `_` a dot."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as made:
        for name, content in files.items():
            made.writestr(name.replace("__", "/").replace("_", "."), content)
    return out.getvalue()


def foxes(folder=""):
    files = {"manifest_jsonl": manifest(["1", "a.png", "b.png"]), "a_png": picture(1), "b_png": picture(2)}
    return archive(**{f"{folder}{name}": content for name, content in files.items()})


def imported(project, name, content, **options):
    """Import what was uploaded under this name."""
    with tempfile.NamedTemporaryFile() as stored:
        stored.write(content)
        stored.flush()
        return import_upload(project=project, name=name, content=Path(stored.name), now=NOW, **options)


def wait_until_over(upload, seconds=30):
    deadline = monotonic() + seconds
    while not Upload.objects.over().filter(pk=upload.pk).exists():
        assert monotonic() < deadline, "nobody imports it"
        sleep(0.05)


def worked(project):
    """Let a worker import what was sent last; return the upload."""
    upload = Upload.objects.filter(project=project).latest("pk")
    run_import(upload, clock=now)
    return upload


def sent(name, content):
    return SimpleUploadedFile(name, content if isinstance(content, bytes) else content.encode())


@pytest.mark.parametrize("folder", ["", "foxes__"])
def test_a_zip_brings_images_and_opens_their_tasks(project, folder):
    done = imported(project, "Foxes.ZIP", foxes(folder))
    assert (done.prompts, done.images, done.assignments) == (1, 2, 1)
    assert Assignment.objects.get().prompt.text == "a fox, take 1"


def test_a_text_file_brings_prompts(project):
    done = imported(project, "p.txt", b"a fox\nan owl\na fox\n")
    assert (done.new, done.repeated) == (2, 1)


@pytest.mark.parametrize(("name", "content"), [("P.TXT", b"a fox"), ("Foxes.ZIP", foxes("one__"))])
def test_the_log_has_the_name_that_a_file_was_sent_under(project, name, content):
    imported(project, name, content)
    assert Action.objects.first().details["file"] == name


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("p.exe", b"MZ", "p.exe: is none of .zip"),
        ("p.txt", b"", "p.txt: has no rows"),
        ("p.jsonl", b'{"id": "1"}', "p.jsonl, row 1"),
        ("p.zip", b"PK no zip", "p.zip: cannot be unpacked"),
        ("p.zip", archive(a_png=picture(1)), "p.zip: has no manifest.jsonl"),
        (
            "p.zip",
            archive(manifest_jsonl=manifest(["1", "gone.png"])),
            "p.zip: manifest.jsonl, row 1: gone.png: is missing",
        ),
        ("p.zip", archive(manifest_jsonl=manifest(["1", "../../etc/passwd"])), "lies outside p.zip"),
        ("p.zip", archive(manifest_jsonl=manifest(["1", "a.png"]), a_png=b"no picture"), "a.png"),
    ],
)
def test_a_file_that_cannot_be_read_is_refused_and_names_no_folder_of_ours(project, name, content, said):
    with pytest.raises(ImportRefused) as refused:
        imported(project, name, content)
    assert said in str(refused.value)
    assert str(refused.value).startswith(name)
    assert "/tmp" not in str(refused.value)
    assert not Prompt.objects.exists()


@pytest.mark.parametrize("packing", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_zip_whose_content_is_damaged_is_refused(project, packing):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", packing) as made:
        made.writestr("manifest.jsonl", manifest(["1", "a.png", "b.png"]) * 50)
    damaged = bytearray(out.getvalue())
    damaged[50:90] = bytes(range(255, 215, -1))
    with pytest.raises(ImportRefused, match=r"p\.zip: cannot be unpacked"):
        imported(project, "p.zip", bytes(damaged))


def test_nothing_is_unpacked_outside_its_folder(project, tmp_path):
    entries = {"manifest_jsonl": manifest(["1", "a.png", "b.png"]), "a_png": picture(1), "b_png": picture(2)}
    out = io.BytesIO(archive(**entries))
    with zipfile.ZipFile(out, "a") as made:
        made.writestr("../../../../outside.txt", "out")
        made.writestr(f"{tmp_path}/absolute.txt", "out")
    imported(project, "p.zip", out.getvalue())
    assert not (tmp_path / "absolute.txt").exists()
    assert Generation.objects.count() == 2


def test_a_zip_that_unpacks_to_too_much_is_refused(project, monkeypatch):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as made:
        made.writestr("manifest.jsonl", manifest(["1", "a.png"]))
        made.writestr("a.png", bytes(2**20))
    monkeypatch.setattr(archives, "MOST_BYTES", 2**20)
    with pytest.raises(ImportRefused, match="unpacks to more than 1 MiB"):
        imported(project, "p.zip", out.getvalue())
    monkeypatch.setattr(archives, "MOST_FILES", 1)
    with pytest.raises(ImportRefused, match="more than 1 files"):
        imported(project, "p.zip", out.getvalue())


def zipped(*entries):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as made:
        for name, content in entries:
            made.writestr(name, content)
    return out.getvalue()


IMAGES = [picture(1), picture(2)]
FOX = manifest(["1", "é.png", "b.png"])


PACKED = {
    "decomposed": {"manifest.jsonl": FOX, "e\u0301.png": IMAGES[0], "b.png": IMAGES[1]},
    "composed": {
        "Manifest.JSONL": FOX.replace("\\u00e9", "e\\u0301"),
        "é.png": IMAGES[0],
        "b.png": IMAGES[1],
    },
    "backslashes": {"f\\manifest.jsonl": FOX, "f\\é.png": IMAGES[0], "f\\b.png": IMAGES[1]},
    "backslashes in the manifest": {
        "manifest.jsonl": manifest(["1", "f\\a.png", "f/b.png"]),
        "f/a.png": IMAGES[0],
        "f/b.png": IMAGES[1],
    },
    "macOS": {
        "manifest.jsonl": manifest(["1", "a.png", "A.PNG"]),
        "a.png": IMAGES[0],
        "A.PNG": IMAGES[1],
        "__MACOSX/manifest.jsonl": "no JSON",
        "._manifest.jsonl": "no JSON",
        ".DS_Store": "",
    },
    "two manifests": {
        "one/manifest.jsonl": manifest(["1", "a.png", "b.png"]),
        "one/a.png": IMAGES[0],
        "one/b.png": IMAGES[1],
        "two/deep/manifest.jsonl": manifest(["2", "a.jpeg", "b.PNG"]),
        "two/deep/a.jpeg": IMAGES[0],
        "two/deep/b.PNG": IMAGES[1],
    },
}


@pytest.mark.parametrize("packed", PACKED)
def test_a_zip_is_read_whatever_packed_it(project, packed):
    images = 4 if packed == "two manifests" else 2
    assert imported(project, "p.zip", zipped(*PACKED[packed].items())).images == images


def test_a_zip_whose_second_manifest_contradicts_the_first_is_refused(project, media):
    entries = [(f"{name}/manifest.jsonl", manifest(["1"]).replace("fox", name)) for name in ("fox", "owl")]
    with pytest.raises(
        ImportRefused, match=r"^p.zip: owl/manifest.jsonl, row 1: prompt '1' is known with another text"
    ):
        imported(project, "p.zip", zipped(*entries))


def test_names_of_a_zip_in_utf_8_that_does_not_say_so_are_read(project):
    content = zipped(("manifest.jsonl", FOX), ("é.png", IMAGES[0]), ("b.png", IMAGES[1]))
    said, unsaid = (0x800).to_bytes(2, "little"), bytes(2)
    name = "é.png".encode()
    for at in (6, 8):  # of the flags, in the header before the entry and in the listing
        mark = b"PK\3\4" if at == 6 else b"PK\1\2"
        start = content.rindex(mark, 0, content.index(name) if at == 6 else content.rindex(name))
        assert content[start + at : start + at + 2] == said
        content = content[: start + at] + unsaid + content[start + at + 2 :]
    assert imported(project, "p.zip", content).images == 2


@pytest.mark.parametrize("names", [("f/a.png", "f\\a.png"), ("é", "e\u0301")])
def test_a_zip_that_has_a_name_twice_is_refused(project, names):
    entries = [(name, b"") for name in names]
    with pytest.raises(ImportRefused, match=r"p\.zip: has .* twice"):
        imported(project, "p.zip", zipped(*entries))


# In a worker


@pytest.fixture
def upload(ada, project, settings, tmp_path):
    settings.UPLOADS_DIR = tmp_path / "uploads"
    return request_import(project=project, file=sent("foxes.zip", foxes()), by=ada, now=now())


def test_a_file_is_imported_once_and_then_removed(project, upload, django_capture_on_commit_callbacks):
    assert upload.file.read_bytes() == foxes()
    with django_capture_on_commit_callbacks(execute=True):
        run_import(upload, clock=now)
    assert (upload.state, upload.summary) == (
        "finished",
        "1 prompts and 2 images new; 1 assignments opened.",
    )
    assert upload.done == 2
    assert not upload.folder.exists()
    with pytest.raises(jobs.JobLost):
        run_import(upload, clock=now)
    assert Generation.objects.count() == 2


def test_an_import_whose_worker_dies_is_done_again_and_nothing_is_there_twice(project, upload):
    jobs.claim(upload, now=now() - timedelta(hours=1))  # and its worker is killed
    jobs.requeue_silent(Upload, now=now())
    upload.refresh_from_db()
    run_import(upload, clock=now)
    assert (upload.state, upload.attempt, Generation.objects.count()) == ("finished", 2, 2)


def test_an_import_that_another_worker_took_over_writes_nothing(project, upload, monkeypatch):
    def taken_over(**arguments):
        Upload.objects.filter(pk=upload.pk).update(attempt=2)  # this worker was silent for too long
        return import_upload(**arguments)

    monkeypatch.setattr(worker, "import_upload", taken_over)
    with pytest.raises(jobs.JobLost):
        run_import(upload, clock=now)
    assert not Prompt.objects.exists()
    assert upload.file.exists()


def test_an_import_of_a_file_that_is_gone_has_failed(upload):
    upload.file.unlink()
    run_import(upload, clock=now)
    assert (upload.state, upload.error) == ("failed", "foxes.zip: its file is gone: send it again")


def test_files_of_uploads_that_are_over_are_removed(upload):
    left = upload.folder.with_name("0")
    left.mkdir()
    worker.remove_uploads(now=now() + timedelta(days=2))
    assert upload.file.exists()
    assert not left.exists()


def test_an_upload_that_its_import_removes_meanwhile_is_passed_over(upload):
    listed = upload.folder.with_name("0")
    listed.symlink_to("gone")  # there to whoever lists the folder, and then it is not
    worker.remove_uploads(now=now() + timedelta(days=2))
    assert upload.file.exists()


def test_an_import_that_takes_too_much_memory_has_failed(upload, monkeypatch):
    def burst(**arguments):
        return pyarrow.array([bytes(worker.MEMORY)])

    monkeypatch.setattr(worker, "MEMORY", 2**29)
    monkeypatch.setattr(worker, "import_upload", burst)
    run_import(upload, clock=now)
    assert upload.error.startswith("foxes.zip: reading it takes more than 0.5 GiB of memory")
    with bounded_memory(2**29), pytest.raises(MemoryError):
        bytes(2**30)
    assert len(bytes(2**29)) == 2**29


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("kind", ["images", "rankings"])
def test_exports_are_asked_for_while_an_import_of_the_project_writes(project, upload, ada, written, kind):
    begun, asked = threading.Event(), threading.Event()
    rankings = written("r.json", [ranking_row(generations=["a.png", "b.png"], ranking=[1, 2])])

    def wait(read):
        if Prompt.objects.exists():  # for this connection: its transaction has begun to write
            begun.set()
            assert asked.wait(30)

    def write():
        try:
            if kind == "images":
                import_upload(project=project, name=upload.name, content=upload.file, now=NOW, progress=wait)
            else:
                import_rankings(project=project, file=rankings, now=now(), without_images=True, progress=wait)
        finally:
            connection.close()

    with ThreadPoolExecutor(1) as thread:
        importing = thread.submit(write)
        try:
            assert begun.wait(30)
            with transaction.atomic(), connection.cursor() as cursor:
                cursor.execute("SET LOCAL lock_timeout = '5s'")
                request_export(project=project, by=ada, now=now(), format="csv")
            assert not importing.done()
        finally:
            asked.set()
        importing.result()
    assert Generation.objects.count() == 2


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(("kind", "read"), [("images", 2), ("rankings", 3)])
def test_an_import_is_cancelled_while_it_runs_and_nothing_is_left_of_it(
    project, upload, ada, monkeypatch, kind, read
):
    monkeypatch.setattr(worker, "HEARTBEAT_SECONDS", 0.02)
    if kind == "rankings":
        table = json.dumps([ranking_row(generations=["a.png", "b.png"], ranking=[1, 2])])
        file = sent("r.zip", archive(r_json=table, a_png=picture(1), b_png=picture(2)))
        upload = request_import(project=project, file=file, by=ada, now=now(), rankings=RankingOptions())
    other = connections.create_connection("default")
    other.set_autocommit(False)
    with other.cursor() as cursor:  # somebody else adds prompts: the import has read its file, and waits
        cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", [f"prompts {project.pk}"])

    def work():
        try:
            run_import(upload, clock=now)
        finally:
            connection.close()

    def seen(**fields):
        while not Upload.objects.filter(pk=upload.pk, state="running", **fields).exists():
            assert not importing.done(), importing.result()

    with ThreadPoolExecutor(1) as thread:
        importing = thread.submit(work)
        try:
            seen(done=read)
            cancel_import(Upload.objects.get(pk=upload.pk), by=ada, now=now())
            asked = now()
            seen(heartbeat__gt=asked + timedelta(milliseconds=100))  # it knows by now
        finally:
            other.close()
        importing.result()
    assert (upload.state, upload.summary) == ("cancelled", "")
    assert not Prompt.objects.exists()
    assert not upload.folder.exists()


def test_an_import_that_ends_before_it_sees_a_cancel_is_cancelled_all_the_same(upload, ada, monkeypatch):
    def cancel_first(**fields):
        cancel_import(Upload.objects.get(), by=ada, now=now())
        return import_upload(**fields)

    monkeypatch.setattr(worker, "import_upload", cancel_first)
    run_import(upload, clock=now)
    assert Upload.objects.get().state == "cancelled"
    assert not Prompt.objects.exists()


def test_of_a_file_that_was_sent_far_away_for_nothing_there_is_a_note(
    remote, settings, tmp_path, ada, project
):
    settings.UPLOADS_DIR = tmp_path / "uploads"
    fields = {"slug": project.slug, "name": "Again", "guideline": "Look.", "admin": ada, "now": now()}
    with pytest.raises(ValidationError):
        start_project(**fields, material=sent("foxes.zip", foxes()))
    assert [note.name for note in LooseObject.objects.all()] == [
        str(path.relative_to(remote)) for path in remote.rglob("*") if path.is_file()
    ]
    assert not Upload.objects.exists()
    assert not list(settings.UPLOADS_DIR.iterdir())


def test_one_import_runs_at_a_time_and_others_wait_in_the_queue(project, upload, ada, settings):
    other = request_import(project=project, file=sent("p.txt", "a hare"), by=ada, now=now())
    jobs.claim(other, now=now())
    with pytest.raises(ImportsBusy):
        run_import(upload, clock=now)
    upload.refresh_from_db()
    assert (upload.state, upload.attempt) == ("queued", 0)
    settings.IMPORTS_AT_ONCE = 2
    run_import(upload, clock=now)
    assert upload.state == "finished"


def test_the_file_that_was_sent_first_is_imported_first_whichever_a_worker_hears_of(project, upload, ada):
    other = request_import(project=project, file=sent("p.txt", "a hare"), by=ada, now=now())
    for finished in (upload, other):
        import_file(other.pk)
        assert list(Upload.objects.over().order_by("finished_at"))[-1] == finished
    import_file(other.pk)


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("worker")
def test_a_worker_that_comes_too_late_for_a_file_goes_on_to_the_next(project, ada):
    first, second = (
        request_import(project=project, file=sent("p.txt", text), by=ada, now=now())
        for text in ("a fox", "a hare")
    )
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended('imports', 0))")
        wake_import(first)
        waiting = 0
        while not waiting:  # it has chosen the first one
            cursor.execute("SELECT count(*) FROM pg_locks WHERE NOT granted")
            (waiting,) = cursor.fetchone()
        cancel_import(first, by=ada, now=now())
    wait_until_over(second)
    assert [prompt.text for prompt in Prompt.objects.all()] == ["a hare"]


# On the pages


def defaults(hers):
    form = hers.get("/projects/new/").context["form"]
    values = {name: form[name].value() for name in form.fields if name != "axes"}  # the paper's
    return {name: value for name, value in values.items() if value is not None and value is not False}


def test_a_name_and_a_file_suffice_for_a_project_with_work(ada, project):
    hers = as_(ada)
    posted = defaults(hers) | {"name": "Red & grey foxes", "material": sent("foxes.zip", foxes())}
    page = hers.post("/projects/new/", posted, follow=True)
    made = Project.objects.get(slug="red-grey-foxes")
    assert page.request["PATH_INFO"] == "/projects/red-grey-foxes/prompts/"
    assert 'hx-trigger="every 2s"' in page.text
    worked(made)
    page = hers.get(page.request["PATH_INFO"], headers={"HX-Request": "true"})
    assert "1 prompts and 2 images new; 1 assignments opened." in page.text
    assert "every 2s" not in page.text
    assert "Nobody annotates here yet." in hers.get("/projects/red-grey-foxes/").text
    assert (made.slots, made.asks_ratings, made.opinions_per_prompt) == (5, True, 1)
    assert made.guidelines.count() == made.assignments.count() == 1
    assert {action.actor for action in made.actions.all()} == {ada}


@pytest.mark.parametrize(
    ("name", "says"), [("f.exe", "is none of .zip"), ("f.zip", "cannot be unpacked: it is no .zip file")]
)
def test_a_project_whose_file_has_no_known_format_is_not_made(ada, project, name, says):
    hers = as_(ada)
    page = hers.post("/projects/new/", defaults(hers) | {"name": "Foxes", "material": sent(name, b"PK")})
    assert page.status_code == 422
    assert f'id="id_material_error">{name}: {says}' in page.text
    assert "Choose the file again, too." in page.text
    assert 'value="Foxes"' in page.text
    assert Project.objects.get() == project


def test_a_folded_field_with_an_error_is_in_sight(ada, project):
    hers = as_(ada)
    folded = '<details class="section folded">'
    sections = hers.get("/projects/new/").text.count(folded)
    page = hers.post("/projects/new/", defaults(hers) | {"name": "Foxes", "slots": "1"})
    assert page.status_code == 422
    assert page.text.count(folded) == sections - 1 > 0
    assert 'id="id_slots_error"' in page.text


def test_every_field_of_a_project_says_what_it_is(ada, project):
    form = as_(ada).get("/projects/new/").context["form"]
    assert [
        name for name, field in form.fields.items() if not field.help_text.endswith((".", "nobody."))
    ] == []


def test_short_names_are_made_from_names_and_are_free(project):
    assert free_slug("Red & grey foxes") == "red-grey-foxes"
    assert free_slug(project.slug) == f"{project.slug}-2"
    assert free_slug("new") == "new-2"
    assert free_slug("狐") == "project"
    assert len(free_slug("fox " * 40)) <= 50


def test_admins_add_prompts_and_images_to_a_project_there_is(ada, project, rosa, alice):
    path = f"/projects/{project.slug}/prompts/add/"
    page = as_(ada).post(path, {"material": sent("foxes.zip", foxes())}, follow=True)
    worked(project)
    page = as_(ada).get(page.request["PATH_INFO"])
    assert "2 images new" in page.text
    assert "a fox, take 1" in page.text
    as_(ada).post(path, {"material": sent("f.zip", archive(a_png=picture(1)))})
    worked(project)
    page = as_(ada).get(page.request["PATH_INFO"])
    assert "f.zip: has no manifest.jsonl. Nothing of the file was imported." in page.text
    refused = as_(ada).post(path, {"material": sent("p.txt", "")})
    assert refused.status_code == 422
    assert 'id="id_material_error">p.txt: has no rows' not in refused.text  # an empty file is none
    assert 'id="id_material_error"' in refused.text
    for person in (rosa, alice):
        assert as_(person).post(path, {"material": sent("foxes.zip", foxes())}).status_code == 404


def test_a_file_too_large_to_wait_for_is_refused(ada, project, monkeypatch):
    monkeypatch.setattr("annotation.forms.imports.MOST_BYTES", 2**20)
    path = f"/projects/{project.slug}/prompts/add/"
    refused = as_(ada).post(path, {"material": sent("p.txt", bytes(2**20 + 1))})
    assert refused.status_code == 422
    assert "A file may have 1 MiB" in refused.text

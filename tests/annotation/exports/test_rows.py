"""Exports asked for: queued, written by a worker, watched, downloaded from any byte on, removed."""

import io
import json
import zipfile
from datetime import timedelta
from hashlib import sha256
from time import monotonic, sleep

import pytest
from django.test import Client
from django.utils.timezone import now
from rest_framework.test import APIClient

from annotation import jobs
from annotation.jobs import JobLost
from annotation.models import Event, Export, Image
from annotation.schedule import ENTRIES
from annotation.services.exports import (
    FORMATS,
    UnknownFormat,
    cancel_export,
    delete_export,
    export_to_folder,
    request_export,
    retry_export,
    run_export,
)
from annotation.services.exports.worker import EXPORT_READY
from annotation.services.exports.writer import hold_folder
from annotation.services.imports import import_rankings
from annotation.services.people.tokens import issue_token
from annotation.services.webhooks.webhooks import create_webhook
from annotation.tasks import tend_exports
from config.celery import app
from tests.annotation.judged import judge, said
from tests.cast import NOW

State = Export.State
SECOND = timedelta(seconds=1)


@pytest.fixture(autouse=True)
def exports_folder(settings, tmp_path):
    settings.EXPORTS_DIR = tmp_path / "exports"
    return settings.EXPORTS_DIR


@pytest.fixture
def judged(a_project, alice, bob):
    return judge(a_project(opinions_per_prompt=2, review_share=0.0), [alice, bob])


@pytest.fixture
def asked(judged, ada):
    """Ask for an export."""
    return lambda format="csv", **more: request_export(project=judged, format=format, by=ada, now=NOW, **more)


def clock(step=SECOND):
    """A clock that goes on by a step each time somebody looks."""
    moment = [NOW]

    def look():
        moment[0] += step
        return moment[0]

    return look


def test_a_worker_writes_the_archive_and_the_row_says_what_is_in_it(asked, judged, a_project, tmp_path):
    export = asked("imagerewarddb")
    run_export(export, clock=clock())
    export.refresh_from_db()
    assert (export.state, export.rankings, export.rankings_wanted) == (State.FINISHED, 6, 6)
    assert (export.pairs, export.ties) == (15, 3)
    content = export.file.read_bytes()
    assert (export.bytes, export.sha256) == (len(content), sha256(content).hexdigest())
    assert [file.name for file in export.folder.iterdir()] == [export.file_name]
    zipfile.ZipFile(export.file).extractall(tmp_path / "out")
    folder = tmp_path / "out" / export.file.stem
    assert (folder / "README.md").exists()
    elsewhere = a_project()
    import_rankings(project=elsewhere, file=folder / "metadata-train.parquet", now=NOW)
    assert said(elsewhere) == said(judged)


def test_a_webhook_is_told_that_an_export_is_ready(asked, judged, ada, settings):
    settings.WEBHOOKS_TO_PRIVATE_ADDRESSES = True
    create_webhook(project=judged, url="http://127.0.0.1:9/", kinds=[EXPORT_READY], by=ada)
    asked()
    run_export(Export.objects.get(), clock=clock())
    event, export = Event.objects.get(), Export.objects.get()
    assert event.data == {
        "export": export.pk,
        "format": "csv",
        "bytes": export.bytes,
        "sha256": export.sha256,
    }


def test_answers_accepted_after_it_was_asked_for_are_not_in_it(asked, judged):
    export = request_export(project=judged, format="csv", by=asked().requested_by, now=NOW - SECOND)
    run_export(export, clock=clock())
    assert Export.objects.get(pk=export.pk).rankings == 0


def test_an_export_asked_for_again_at_once_is_the_same_until_it_is_over(asked, judged, ada, bob):
    export = asked()
    assert asked() == export == asked(until=NOW + SECOND)
    assert export not in {asked("pairs"), asked(after=NOW - SECOND), asked(until=NOW - SECOND)}
    assert request_export(project=judged, format="csv", by=bob, now=NOW) != export
    assert request_export(project=judged, format="csv", by=ada, now=NOW + timedelta(minutes=2)) != export

    cancel_export(export, by=ada, now=NOW)
    assert asked() != export


def test_a_format_that_there_is_not_is_refused(asked):
    with pytest.raises(UnknownFormat, match="'xml' is none of"):
        asked("xml")


def test_what_a_dead_worker_wrote_is_gone_on_with_and_that_worker_can_write_no_more(asked, settings):
    export = asked()
    slow = Export.objects.get(pk=export.pk)
    jobs.claim(slow, now=NOW)
    late = NOW + timedelta(seconds=settings.RUN_SILENCE_SECONDS + 1)
    jobs.requeue_silent(Export, now=late)
    export.refresh_from_db()
    assert export.state == State.QUEUED
    run_export(export, clock=clock())
    assert Export.objects.get().state == State.FINISHED
    with pytest.raises(JobLost):
        jobs.finish(slow, now=late, bytes=1, sha256="0")


def test_an_export_whose_worker_falls_silent_again_and_again_has_failed(asked, settings, ada):
    export = asked()
    late = NOW + timedelta(seconds=settings.RUN_SILENCE_SECONDS + 1)
    for _ in range(Export.most_attempts):
        export.refresh_from_db()
        jobs.claim(export, now=NOW)
        jobs.requeue_silent(Export, now=late)
    export.refresh_from_db()
    assert (export.state, export.error) == (State.FAILED, "its worker fell silent")
    retry_export(export, by=ada)
    run_export(export, clock=clock())
    assert Export.objects.get().state == State.FINISHED


def test_an_export_that_somebody_still_writes_waits(asked):
    export = asked()
    (export.folder / "work").mkdir(parents=True)
    with hold_folder(export.folder / "work"):
        run_export(export, clock=clock())
        export.refresh_from_db()
        assert export.state == State.QUEUED
    run_export(export, clock=clock())
    assert Export.objects.get().state == State.FINISHED


def test_a_host_that_was_killed_in_an_export_removes_what_it_has_once_another_wrote_it(remote, asked):
    export = asked()
    run_export(export, clock=clock())  # by another host
    left = export.folder / "work"
    left.mkdir(parents=True)
    waiting = asked("pairs", after=NOW - SECOND)
    begun = waiting.folder / "work"
    begun.mkdir(parents=True)
    following = asked("pairs")
    run_export(following, clock=clock())
    assert not export.folder.exists()
    assert begun.exists()  # nobody has finished that one


def test_an_export_taken_already_is_not_taken_again(asked):
    export, other = asked(), Export.objects.get()
    jobs.claim(export, now=NOW)
    with pytest.raises(JobLost):
        run_export(other, clock=clock())


def test_a_cancelled_export_stops_and_leaves_no_file(asked, ada):
    export = asked()
    looked = clock()

    def cancelling():
        now = looked()
        if now == NOW + 3 * SECOND:
            cancel_export(Export.objects.get(), by=ada, now=now)
        return now

    run_export(export, clock=cancelling)
    export.refresh_from_db()
    assert (export.state, export.folder.exists()) == (State.CANCELLED, False)
    with pytest.raises(JobLost):
        cancel_export(export, by=ada, now=NOW)
    waiting = asked()
    cancel_export(waiting, by=ada, now=NOW)
    assert waiting.state == State.CANCELLED


def test_an_export_that_cannot_be_written_says_why(asked):
    image = Image.objects.first()
    image.file.delete(save=False)
    export = asked("pickapic")
    run_export(export, clock=clock())
    export.refresh_from_db()
    assert export.state == State.FAILED
    assert "cannot be read from the storage" in export.error


def test_an_export_is_deleted_with_its_file_once_it_is_over(asked, django_capture_on_commit_callbacks, ada):
    export = asked()
    with pytest.raises(JobLost):
        delete_export(export, by=ada)
    run_export(export, clock=clock())
    with django_capture_on_commit_callbacks(execute=True):
        delete_export(export, by=ada)
    assert not Export.objects.exists()
    assert not export.folder.exists()


@pytest.mark.django_db(transaction=True)
def test_another_process_does_what_was_asked_for(worker, asked, exports_folder):
    asked()
    tend_exports.delay()
    deadline = monotonic() + 60
    while Export.objects.get().state != State.FINISHED:
        assert monotonic() < deadline
        assert worker.poll() is None
        sleep(0.1)


def test_beat_looks_for_exports_that_wait():
    app.loader.import_default_modules()
    assert {task for task, _ in ENTRIES.values()} <= app.tasks.keys()


# Downloads


@pytest.fixture
def finished(asked):
    export = asked()
    run_export(export, clock=clock())
    return Export.objects.get(pk=export.pk)


@pytest.fixture
def fetch(finished, ada):
    """Get the file's address with these headers."""
    client = Client()
    client.force_login(ada)
    address = f"/projects/{finished.project.slug}/exports/{finished.pk}/file/"

    def get(**headers):
        answer = client.get(address, headers=headers)
        body = b"".join(answer.streaming_content) if answer.streaming else answer.content
        return answer, body

    return get


def test_a_download_is_the_file_and_says_its_size_and_hash(fetch, finished):
    answer, body = fetch()
    assert (answer.status_code, body) == (200, finished.file.read_bytes())
    assert answer.headers["Content-Length"] == str(len(body))
    assert answer.headers["ETag"] == f'"{finished.sha256}"'
    assert answer.headers["Accept-Ranges"] == "bytes"
    assert finished.file_name in answer.headers["Content-Disposition"]
    assert zipfile.ZipFile(io.BytesIO(body)).testzip() is None


@pytest.mark.parametrize(
    ("asked_for", "piece"),
    [
        ("bytes=0-9", slice(0, 10)),
        ("bytes=100-", slice(100, None)),
        ("bytes=-20", slice(-20, None)),
        ("bytes=5-999999999", slice(5, None)),
    ],
)
def test_a_download_that_broke_off_goes_on_where_it_stopped(fetch, finished, asked_for, piece):
    whole = finished.file.read_bytes()
    answer, body = fetch(range=asked_for)
    assert (answer.status_code, body) == (206, whole[piece])
    start = whole.index(body)
    assert answer.headers["Content-Range"] == f"bytes {start}-{start + len(body) - 1}/{len(whole)}"
    assert answer.headers["Content-Length"] == str(len(body))


@pytest.mark.parametrize("asked_for", ["bytes=999999999-", "bytes=-0", "bytes=9-3"])
def test_bytes_that_the_file_has_not_are_refused(fetch, finished, asked_for):
    answer, _ = fetch(range=asked_for)
    assert answer.status_code == 416
    assert answer.headers["Content-Range"] == f"bytes */{finished.bytes}"


@pytest.mark.parametrize(
    "asked_for", ["bytes=0-1,5-6", "lines=1-2", "bytes=-", "bytes=a-b", f"bytes={'9' * 5000}-"]
)
def test_a_range_that_is_none_is_answered_with_the_whole_file(fetch, finished, asked_for):
    answer, body = fetch(range=asked_for)
    assert (answer.status_code, len(body)) == (200, finished.bytes)


def test_a_file_that_has_changed_is_sent_whole(fetch, finished):
    same = {"if-range": f'"{finished.sha256}"'}
    assert fetch(range="bytes=3-", **same)[0].status_code == 206
    assert fetch(range="bytes=3-", **{"if-range": '"other"'})[0].status_code == 200


# The page


def as_(user) -> Client:
    client = Client()
    client.force_login(user)
    return client


def test_an_admin_asks_on_the_page_and_sees_how_far_it_is(ada, judged):
    address = f"/projects/{judged.slug}/exports/"
    hers = as_(ada)
    posted = {"format": "pickapic", "with_images": "on", "first_day": "2026-03-01", "last_day": "2026-03-14"}
    assert hers.post(address, posted).url == address
    export = Export.objects.get()
    assert (export.format, export.with_images, export.requested_by) == ("pickapic", True, ada)
    page = hers.get(address).text
    assert "Queued" in page
    assert 'hx-trigger="every 2s"' in page
    run_export(export, clock=clock())
    part = hers.get(address, headers={"HX-Request": "true"}).text
    assert part.lstrip().startswith('<section class="card" id="exports"')
    assert "hx-trigger" not in part
    assert f"/projects/{judged.slug}/exports/{export.pk}/file/" in part
    assert FORMATS["pickapic"].title in part  # as the form calls it
    assert Export.objects.get().rankings == 6


@pytest.mark.parametrize(
    ("posted", "says"),
    [
        ({"format": "xml"}, "not one of the available choices"),
        ({"format": "csv", "first_day": "2026-03-02", "last_day": "2026-03-01"}, "Is before the first day."),
        ({"format": "csv", "first_day": "soon"}, "Enter a valid date."),
    ],
)
def test_what_cannot_be_exported_is_refused_at_the_field(ada, judged, posted, says):
    answer = as_(ada).post(f"/projects/{judged.slug}/exports/", posted)
    assert answer.status_code == 422
    assert says in answer.text
    assert not Export.objects.exists()


def test_buttons_cancel_retry_and_delete(ada, asked, judged):
    hers = as_(ada)
    export = asked()
    address = f"/projects/{judged.slug}/exports/{export.pk}/"
    hers.post(f"{address}delete/")
    assert Export.objects.get().state == State.QUEUED
    hers.post(f"{address}cancel/")
    assert Export.objects.get().state == State.CANCELLED
    hers.post(f"{address}cancel/")
    hers.post(f"{address}retry/")
    assert Export.objects.get().state == State.CANCELLED
    Export.objects.update(state=State.FAILED, error="disk full")
    assert "disk full" in hers.get(f"/projects/{judged.slug}/exports/").text
    hers.post(f"{address}retry/")
    assert Export.objects.get().state == State.QUEUED
    Export.objects.update(state=State.FAILED, finished_at=NOW)
    hers.post(f"{address}delete/")
    assert not Export.objects.exists()


def test_anothers_export_is_not_there(finished, a_project, alice, eve, ada):
    path = f"/projects/{finished.project.slug}/exports/{finished.pk}/"
    for person in (alice, eve):
        assert as_(person).get(f"{path}file/").status_code == 404
        for action in ("cancel", "retry", "delete"):
            assert as_(person).post(f"{path}{action}/").status_code == 404
    other = f"/projects/{a_project().slug}/exports/{finished.pk}/file/"
    assert as_(ada).get(other).status_code == 404
    assert Export.objects.get().state == State.FINISHED


# The API


@pytest.fixture
def api(ada):
    client = APIClient()
    _, secret = issue_token(user=ada, name="test", days=None, now=now())
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {secret}")
    return client


def test_a_program_asks_watches_downloads_and_deletes(api, judged, tmp_path):
    address = f"/api/v1/projects/{judged.slug}/exports/"
    made = api.post(
        address, {"format": "imagereward", "accepted_until": "2027-01-01T00:00:00Z"}, format="json"
    )
    assert (made.status_code, made.json()["state"]) == (202, "queued")
    assert api.get(f"{address}{made.json()['id']}/file/").status_code == 404
    run_export(Export.objects.get(), clock=clock())
    row = api.get(f"{address}{made.json()['id']}/").json()
    assert (row["state"], row["rankings"], row["pairs"], row["ties"]) == ("finished", 6, 15, 3)
    assert [one["id"] for one in api.get(address).json()["results"]] == [row["id"]]
    got = api.get(f"{address}{row['id']}/file/", headers={"range": "bytes=0-"})
    body = b"".join(got.streaming_content)
    assert (got.status_code, sha256(body).hexdigest()) == (206, row["sha256"])
    pack = zipfile.ZipFile(io.BytesIO(body))
    top = Export.objects.get().file.stem
    assert {item["prompt"] for item in json.loads(pack.read(f"{top}/imagereward.json"))} == {
        prompt.text for prompt in judged.prompts.all()
    }
    assert api.delete(f"{address}{row['id']}/").status_code == 204
    assert not Export.objects.exists()


def test_an_export_that_is_cancelled_as_it_ends_leaves_no_file(
    asked, ada, django_capture_on_commit_callbacks
):
    export = asked()

    def cancel_at_the_end():
        if export.file.exists() and not Export.objects.get().cancel_requested:
            cancel_export(export, by=ada, now=NOW)
        return NOW

    with django_capture_on_commit_callbacks(execute=True):
        run_export(export, clock=cancel_at_the_end)
    assert Export.objects.get().state == State.CANCELLED
    assert not export.folder.exists()


def test_what_a_program_asks_wrongly_is_refused(api, judged, asked):
    address = f"/api/v1/projects/{judged.slug}/exports/"
    assert api.post(address, {"format": "xml"}, format="json").status_code == 400
    assert api.post(address, {"format": "csv", "accepted_after": "soon"}, format="json").status_code == 400
    assert not Export.objects.exists()
    export = asked()
    jobs.claim(export, now=NOW)
    assert api.delete(f"{address}{export.pk}/").status_code == 409
    assert Export.objects.get().cancel_requested


def test_the_api_shows_exports_to_admins_only(finished, alice, rita, judged):
    for person in (alice, rita):
        client = APIClient()
        client.force_authenticate(person)
        for path in ("", f"{finished.pk}/", f"{finished.pk}/file/"):
            assert client.get(f"/api/v1/projects/{judged.slug}/exports/{path}").status_code == 404


def test_the_folder_and_the_archive_hold_the_same(finished, judged, tmp_path):
    export_to_folder(project=judged, format="csv", folder=tmp_path / "out", now=NOW)
    pack = zipfile.ZipFile(finished.file)
    held = {name.partition("/")[2]: pack.read(name) for name in pack.namelist()}
    assert held == {file.name: file.read_bytes() for file in (tmp_path / "out").iterdir()}

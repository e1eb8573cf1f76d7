"""Rankings sent on a page or over the API: read as the command reads them, whole or not at all."""

import io
import json
from datetime import timedelta

import pyarrow
import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.utils.timezone import now
from pyarrow import parquet

from annotation import jobs
from annotation.models import Action, Assignment, Project, Upload
from annotation.services.exports import FORMATS, export_to_folder
from annotation.services.imports import ImportRefused, RankingOptions, request_import, run_import, uploads
from tests.annotation.imports.rows import nothing_written, ranking_row
from tests.annotation.imports.test_uploads import IMAGES, imported, sent, worked, zipped
from tests.annotation.judged import judge, said
from tests.annotation.projects.test_pages import as_
from tests.annotation.test_api import signed_in
from tests.cast import NOW
from tests.published import publish

ALL, BARE, SKIPPING = RankingOptions(), RankingOptions(without_images=True), RankingOptions(skip_broken=True)
PAIR = ranking_row(generations=["a.png", "b.png"], ranking=[1, 2])


def rows(*more):
    return json.dumps(list(more))


def triples(**pictures):
    """A table of triples with the pictures in it, as `datasets` writes them."""
    row = {"prompt": "a fox"} | {side: {"bytes": each, "path": None} for side, each in pictures.items()}
    out = io.BytesIO()
    parquet.write_table(pyarrow.Table.from_pylist([row]), out)
    return out.getvalue()


def test_every_export_comes_in_by_a_zip_of_it(a_project, alice, bob, tmp_path):
    project = judge(a_project(opinions_per_prompt=2, review_share=0.0), [alice, bob])
    for format in FORMATS:
        folder, copy = tmp_path / format, a_project()
        export_to_folder(project=project, format=format, folder=folder, now=NOW, with_images=True)
        files = [path for path in folder.rglob("*") if path.is_file()]
        content = zipped(*((f"{format}/{path.relative_to(folder)}", path.read_bytes()) for path in files))
        done = imported(copy, f"{format}.zip", content, rankings=BARE if format in BARE_ALONE else ALL)
        assert said(copy) == said(project), format
        assert done.images == 9


@pytest.mark.parametrize("folder", ["", "data/"])
def test_they_are_attributed_to_the_file_that_was_sent(project, folder):
    tables = (triples(chosen=IMAGES[0], rejected=IMAGES[1]), triples(chosen=IMAGES[1], rejected=IMAGES[0]))
    content = zipped(*((f"{folder}train-{number}.parquet", table) for number, table in enumerate(tables)))
    assert [imported(project, "spring.zip", content, rankings=ALL).rankings for _ in range(2)] == [2, 0]
    assert imported(project, "autumn.zip", content, rankings=ALL).rankings == 2
    people = Assignment.objects.values_list("annotator__username", flat=True)
    assert set(people) == {"imported:spring", "imported:autumn"}
    assert set(
        Action.objects.filter(kind=Action.Kind.RANKINGS_ADDED).values_list("details__file", flat=True)
    ) == {
        "spring.zip",
        "autumn.zip",
    }


BARE_ALONE = {name for name, format in FORMATS.items() if not format.has_images}


@pytest.mark.parametrize(
    ("name", "content", "options", "says"),
    [
        ("r.txt", "a fox", ALL, "r.txt: is none of .zip, .json"),
        ("r.json", rows(), ALL, "r.json: has no rows"),
        ("r.json", rows(PAIR | {"ranking": [1, 9]}), BARE, "r.json, row 1: 'ranking' is 9"),
        ("r.json", rows(PAIR), ALL, "r.json: 2 of 2 image files are missing in its folder: a.png, b"),
        (
            "r.json",
            rows(PAIR | {"generations": ["/a", "b"]}),
            ALL,
            "r.json, row 1: '/a' lies outside its fol",
        ),
        (
            "r.zip",
            zipped(("f/r.json", rows(PAIR))),
            ALL,
            "r.zip: f/r.json: 2 of 2 image files are missing in f:",
        ),
        (
            "R.ZIP",
            zipped(("r.json", rows(PAIR))),
            ALL,
            "R.ZIP: r.json: 2 of 2 image files are missing in R.ZIP",
        ),
        (
            "r.zip",
            zipped(("d/1.parquet", b""), ("d/2.parquet", b"")),
            ALL,
            "r.zip: d/1.parquet: is no parquet",
        ),
        ("r.json", rows(PAIR), RankingOptions("csv", without_images=True), "r.json, row 1: "),
        ("r.zip", zipped(("a.png", IMAGES[0])), ALL, "r.zip: has no .json"),
        ("r.zip", zipped(("f/r.json", "[]"), ("f/s.csv", "")), ALL, "such as f/r.json and f/s.csv: send one"),
        (
            "r.zip",
            zipped(("f/r.json", rows(PAIR)), ("f/a.png", IMAGES[0]), ("f/b.png", b"no picture")),
            ALL,
            "r.zip: f/r.json, row 1: f/b.png: is no PNG",
        ),
        ("t.parquet", triples(chosen=IMAGES[0], rejected=b"no picture"), ALL, "t.parquet, row 1: "),
    ],
)
def test_what_cannot_be_taken_is_refused_by_file_and_row(project, media, name, content, options, says):
    content = content if isinstance(content, bytes) else content.encode()
    with pytest.raises(ImportRefused) as refused:
        imported(project, name, content, rankings=options)
    assert says in str(refused.value)
    assert str(refused.value).startswith(name)
    assert "/tmp" not in str(refused.value)
    assert nothing_written(media)


@pytest.mark.parametrize("where", ["a table", "a table in a .zip", "a .zip in a .zip"])
def test_pictures_are_counted_wherever_they_are_within_an_upload(project, tmp_path, monkeypatch, where):
    table = triples(chosen=bytes(2**20), rejected=IMAGES[0])
    content = table if where == "a table" else zipped(("t.parquet", table))
    if where == "a .zip in a .zip":
        folder = publish(tmp_path, {"test": ["a fox"]}, broken={("test-0", 0): bytes(2**20)})
        files = [path for path in folder.rglob("*") if path.is_file()]
        content = zipped(*((str(path.relative_to(folder)), path.read_bytes()) for path in files))
    name = "p.parquet" if content is table else "p.zip"
    monkeypatch.setattr(uploads, "MOST_BYTES", 2**20)
    with pytest.raises(ImportRefused, match=rf"^{name}: .*its pictures have more than 1 MiB"):
        imported(project, name, content, rankings=ALL)


def test_broken_images_are_skipped_where_that_was_asked_for_and_named(project):
    content = zipped(("r.json", rows(PAIR)), ("a.png", IMAGES[0]), ("b.png", b"no picture"))
    done = imported(project, "f.zip", content, rankings=SKIPPING)
    assert done.summary == (
        "1 rankings new, 0 known already; 1 prompts and 2 images new; "
        "1 images left out: prompt 1, b.png: b.png: is no PNG, JPEG or WebP image"
    )


@pytest.mark.parametrize("name", ["r.json", f"{'狐' * 84}.json", "imported:r.json"])
def test_rankings_are_attributed_to_the_file_by_the_name_it_was_sent_under(project, name):
    imported(project, name, rows(PAIR).encode(), rankings=BARE)
    username = Assignment.objects.get().annotator.username
    assert f"imported:{name.removesuffix('.json')}".startswith(username)
    assert len(username) > 8 + min(60, len(name) - 5) - 1


# In a worker, from a page and over the API


def test_an_import_of_rankings_whose_worker_is_killed_is_done_again(project, ada, monkeypatch):
    upload = request_import(
        project=project, file=sent("r.json", rows(PAIR)), by=ada, now=now(), rankings=BARE
    )

    def killed(*job, **fields):
        assert Assignment.objects.exists()  # for this connection: all is written but the end of the job
        raise SystemExit

    with monkeypatch.context() as patched:
        patched.setattr(jobs, "finish", killed)
        with pytest.raises(SystemExit):
            run_import(upload, clock=lambda: now() - timedelta(hours=1))
    assert not Assignment.objects.exists()
    jobs.requeue_silent(Upload, now=now())
    upload.refresh_from_db()
    run_import(upload, clock=now)
    assert (upload.state, upload.attempt, Assignment.objects.count()) == ("finished", 2, 1)


def test_admins_add_rankings_on_the_page_of_prompts(ada, project, rosa, alice):
    path = f"/projects/{project.slug}/rankings/add/"
    content = zipped(("r.json", rows(PAIR)), ("a.png", IMAGES[0]), ("b.png", IMAGES[1]))
    page = as_(ada).post(path, {"rankings": sent("r.zip", content), "images": "all"}, follow=True)
    worked(project)
    page = as_(ada).get(page.request["PATH_INFO"])
    assert "1 rankings new, 0 known already; 1 prompts and 2 images new." in page.text
    added = Action.objects.first()
    assert (added.kind, added.actor, added.details["file"]) == (Action.Kind.RANKINGS_ADDED, ada, "r.zip")
    for changes, wrong in (
        ({"rankings": sent("p.txt", "a fox")}, "rankings"),
        ({"rankings": ""}, "rankings"),
        ({"images": "some"}, "images"),
        ({"format": "unknown"}, "format"),
    ):
        fields = {"rankings": sent("r.zip", content), "images": "all"}
        refused = as_(ada).post(path, fields | changes)
        assert refused.status_code == 422
        assert f'id="id_{wrong}_error"' in refused.text
    for person in (rosa, alice):
        assert as_(person).post(path, {"rankings": sent("r.zip", content)}).status_code == 404
    assert Upload.objects.count() == 1


def test_rankings_are_sent_over_the_api_and_tried_again_as_they_were_sent(ada, rosa, project):
    uploads = f"/api/v1/projects/{project.slug}/uploads/"

    def post(person=ada, **fields):
        file = SimpleUploadedFile("r.json", rows(PAIR | {"ranking": [1, 5]}).encode())
        fields = {name: file if value == "FILE" else value for name, value in fields.items()}
        return signed_in(person).post(uploads, fields, format="multipart")

    Project.objects.filter(pk=project.pk).update(slots=4)
    sent = post(rankings="FILE", images="none", split="test")
    assert (sent.status_code, sent.json()["kind"]) == (202, "rankings")
    worked(project)
    one = f"{uploads}{sent.json()['id']}/"
    told = signed_in(ada).get(one).json()
    assert (told["state"], told["error"][:29]) == ("failed", "r.json, row 1: 'ranking' is 5")
    Project.objects.filter(pk=project.pk).update(slots=5)
    assert signed_in(ada).post(f"{one}retry/").status_code == 202
    worked(project)
    assert signed_in(ada).get(one).json()["summary"].startswith("1 rankings new")
    assert project.prompts.get().published_split == "test"
    for fields, wrong in (
        ({}, "material"),
        ({"rankings": "FILE", "material": "FILE"}, "material"),
        ({"material": "FILE", "split": "test"}, "split"),
        ({"rankings": "FILE", "split": "dev"}, "split"),
        ({"rankings": "FILE", "size": "1"}, "size"),
    ):
        refused = post(**fields)
        assert (refused.status_code, [*refused.json()]) == (400, [wrong])
    assert post(rosa, rankings="FILE").status_code == 404
    assert Upload.objects.count() == 1

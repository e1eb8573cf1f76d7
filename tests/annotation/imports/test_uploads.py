"""Files sent from a browser: what is in them is imported whole, or they are refused beside the field."""

import io
import json
import zipfile

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile

from annotation.forms.projects import free_slug
from annotation.models import Assignment, Generation, Project, Prompt
from annotation.services.imports import ImportRefused, import_upload, uploads
from tests.annotation.projects.test_pages import as_
from tests.cast import picture


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


def sent(name, content):
    return SimpleUploadedFile(name, content if isinstance(content, bytes) else content.encode())


@pytest.mark.parametrize("folder", ["", "foxes__"])
def test_a_zip_brings_images_and_opens_their_tasks(project, folder):
    done = import_upload(project=project, name="Foxes.ZIP", content=io.BytesIO(foxes(folder)))
    assert (done.prompts, done.images, done.assignments) == (1, 2, 1)
    assert Assignment.objects.get().prompt.text == "a fox, take 1"


def test_a_text_file_brings_prompts(project):
    done = import_upload(project=project, name="p.txt", content=io.BytesIO(b"a fox\nan owl\na fox\n"))
    assert (done.new, done.repeated) == (2, 1)


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("p.exe", b"MZ", "p.exe: is none of .zip"),
        ("p.txt", b"", "p.txt: has no rows"),
        ("p.jsonl", b'{"id": "1"}', "p.jsonl, row 1"),
        ("p.zip", b"PK no zip", "p.zip: cannot be unpacked"),
        ("p.zip", archive(a_png=picture(1)), "p.zip: has no manifest.jsonl"),
        ("p.zip", archive(manifest_jsonl=manifest(["1", "gone.png"])), "gone.png"),
        ("p.zip", archive(manifest_jsonl=manifest(["1", "../../etc/passwd"])), "manifest.jsonl, row 1"),
        ("p.zip", archive(manifest_jsonl=manifest(["1", "a.png"]), a_png=b"no picture"), "a.png"),
    ],
)
def test_a_file_that_cannot_be_read_is_refused_and_names_no_folder_of_ours(project, name, content, said):
    with pytest.raises(ImportRefused) as refused:
        import_upload(project=project, name=name, content=io.BytesIO(content))
    assert said in str(refused.value)
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
        import_upload(project=project, name="p.zip", content=io.BytesIO(bytes(damaged)))


def test_nothing_is_unpacked_outside_its_folder(project, tmp_path):
    entries = {"manifest_jsonl": manifest(["1", "a.png", "b.png"]), "a_png": picture(1), "b_png": picture(2)}
    out = io.BytesIO(archive(**entries))
    with zipfile.ZipFile(out, "a") as made:
        made.writestr("../../../../outside.txt", "out")
        made.writestr(f"{tmp_path}/absolute.txt", "out")
    import_upload(project=project, name="p.zip", content=out)
    assert not (tmp_path / "absolute.txt").exists()
    assert Generation.objects.count() == 2


def test_a_zip_that_unpacks_to_too_much_is_refused(project, monkeypatch):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as made:
        made.writestr("manifest.jsonl", manifest(["1", "a.png"]))
        made.writestr("a.png", bytes(2**20))
    monkeypatch.setattr(uploads, "MOST_BYTES", 2**20)
    with pytest.raises(ImportRefused, match="unpacks to more than 1 MiB"):
        import_upload(project=project, name="p.zip", content=out)
    monkeypatch.setattr(uploads, "MOST_FILES", 1)
    with pytest.raises(ImportRefused, match="more than 1 files"):
        import_upload(project=project, name="p.zip", content=out)


# On the pages


def defaults(hers):
    form = hers.get("/projects/new/").context["form"]
    values = {name: form[name].value() for name in form.fields}
    return {name: value for name, value in values.items() if value is not None and value is not False}


def test_a_name_and_a_file_suffice_for_a_project_with_work(ada, project):
    hers = as_(ada)
    posted = defaults(hers) | {"name": "Red & grey foxes", "material": sent("foxes.zip", foxes())}
    page = hers.post("/projects/new/", posted, follow=True)
    made = Project.objects.get(slug="red-grey-foxes")
    assert page.request["PATH_INFO"] == "/projects/red-grey-foxes/"
    assert "1 prompts and 2 images new; 1 assignments opened." in page.text
    assert "Nobody annotates here yet." in page.text
    assert (made.slots, made.asks_ratings, made.opinions_per_prompt) == (5, True, 1)
    assert made.guidelines.count() == made.assignments.count() == 1
    assert {action.actor for action in made.actions.all()} == {ada}


def test_a_project_whose_file_is_refused_is_not_made(ada, project):
    hers = as_(ada)
    page = hers.post("/projects/new/", defaults(hers) | {"name": "Foxes", "material": sent("f.zip", b"PK")})
    assert page.status_code == 422
    assert 'id="id_material_error">f.zip: cannot be unpacked' in page.text
    assert "Choose the file again, too." in page.text
    assert 'value="Foxes"' in page.text
    assert Project.objects.get() == project


def test_a_folded_field_with_an_error_is_in_sight(ada, project):
    hers = as_(ada)
    folded = '<details class="section folded">'
    assert hers.get("/projects/new/").text.count(folded) == 7
    page = hers.post("/projects/new/", defaults(hers) | {"name": "Foxes", "slots": "1"})
    assert page.status_code == 422
    assert page.text.count(folded) == 6
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
    assert "2 images new" in page.text
    assert "a fox, take 1" in page.text
    refused = as_(ada).post(path, {"material": sent("p.txt", "")})
    assert refused.status_code == 422
    assert 'id="id_material_error">p.txt: has no rows' not in refused.text  # an empty file is none
    assert 'id="id_material_error"' in refused.text
    for person in (rosa, alice):
        assert as_(person).post(path, {"material": sent("foxes.zip", foxes())}).status_code == 404


def test_a_file_too_large_to_wait_for_is_refused(ada, project, monkeypatch):
    monkeypatch.setattr("annotation.forms.exports.MOST_BYTES", 2**20)
    path = f"/projects/{project.slug}/prompts/add/"
    refused = as_(ada).post(path, {"material": sent("p.txt", bytes(2**20 + 1))})
    assert refused.status_code == 422
    assert "A file may have 1 MiB" in refused.text

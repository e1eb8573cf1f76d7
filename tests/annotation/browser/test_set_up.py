"""An admin sets a project up, and somebody gets their first task."""

import pytest
from django.utils.timezone import now
from playwright.sync_api import expect

from annotation.models import Project, Upload
from annotation.services.imports import run_import
from tests.annotation.imports.test_uploads import foxes

pytestmark = pytest.mark.django_db(transaction=True)


def test_a_box_to_tick_stands_at_the_middle_of_its_words(at_work, ada):
    page = at_work(ada, "/projects/new/")
    box = page.get_by_label("Ask to rate each image").bounding_box()
    words = page.get_by_text("Ask to rate each image").bounding_box()
    assert abs(box["y"] + box["height"] / 2 - words["y"] - words["height"] / 2) < 1


def test_a_project_is_set_up_on_one_page_and_work_begins(at_work, ada, eve, project, no_worker):
    hers = at_work(ada, "/projects/")
    hers.get_by_role("link", name="New project").click()
    hers.get_by_role("button", name="Create").click()
    expect(hers.get_by_label("Name", exact=True)).to_be_focused()
    hers.get_by_label("Name", exact=True).fill("Foxes")
    broken = {"name": "foxes.zip", "mimeType": "application/zip", "buffer": b"PK"}
    hers.get_by_label("Prompts and images").set_input_files(broken)
    hers.get_by_role("button", name="Create").click()
    expect(hers.get_by_text("foxes.zip: cannot be unpacked")).to_be_visible()
    hers.get_by_label("Prompts and images").set_input_files(broken | {"buffer": foxes()})
    hers.get_by_role("button", name="Create").click()
    expect(hers.get_by_role("row", name="foxes.zip").get_by_text("Queued")).to_be_visible()
    run_import(Upload.objects.get(), clock=now)
    expect(hers.get_by_text("1 prompts and 2 images new; 1 assignments opened.")).to_be_visible()
    hers.get_by_role("link", name="Show them").click()
    expect(hers.get_by_role("heading", name="a fox, take 1")).to_be_visible()
    hers.goto(hers.url.removesuffix("prompts/"))

    hers.get_by_role("link", name="Add or invite people").click()
    hers.get_by_label("User name").fill("eve")
    hers.locator("form", has=hers.get_by_label("User name")).get_by_label("Role").select_option("annotator")
    hers.get_by_role("button", name="Add", exact=True).click()
    expect(hers.get_by_text("eve is annotator now.")).to_be_visible()

    theirs = at_work(eve, "/")
    theirs.get_by_role("link", name="Start").click()
    theirs.get_by_role("button", name="I have read this, begin").click()
    expect(theirs.locator("#prompt")).to_have_text("a fox, take 1")
    assert Project.objects.get(slug="foxes").assignments.get().annotator == eve


@pytest.mark.parametrize("width", [390, 700, 1024, 1440])
def test_inputs_beside_each_other_stand_level_however_long_their_labels_are(at_work, ada, project, width):
    page = at_work(ada, f"/projects/{project.slug}/hours/", viewport={"width": width, "height": 900})
    page.locator("label").last.evaluate("label => label.append(' ' + 'and a few words more '.repeat(3))")
    levels = {}
    for field in page.locator(".fields > .field").all():
        row, top = field.bounding_box()["y"], field.locator("input, select").bounding_box()["y"]
        levels.setdefault(row, set()).add(top)
    assert {len(tops) for tops in levels.values()} == {1}

"""A session ends under a form, in a real browser: plain forms and those that a script sends."""

import pytest
from django.utils.timezone import now
from playwright.sync_api import expect

from annotation.models import Assignment, BrowserSession, Prompt, Upload
from annotation.services.imports import run_import
from tests.accessibility import complaints
from tests.annotation.browser.hands import press

pytestmark = pytest.mark.django_db(transaction=True)
PASSWORD = "a long secret"


def sign_in(page, person):
    page.get_by_label("User name").fill(person.username)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()


def test_a_form_with_a_file_is_sent_after_signing_in_again(at_work, ada, project, tmp_path, no_worker):
    ada.set_password(PASSWORD)
    ada.save()
    file = tmp_path / "hares.txt"
    file.write_text("a hare")
    page = at_work(ada, f"/projects/{project.slug}/prompts/")
    page.locator("#id_material").set_input_files(file)
    BrowserSession.objects.all().delete()
    page.get_by_role("button", name="Add", exact=True).click()
    expect(page.get_by_text("What you filled in is kept")).to_be_visible()
    sign_in(page, ada)
    expect(page.get_by_role("heading", name="Not sent yet")).to_be_visible()
    assert complaints(page, "unsent form") == []
    page.get_by_label("Choose hares.txt again").set_input_files(file)
    page.get_by_role("button", name="Send it now").press("Enter")
    page.wait_for_url(f"**/projects/{project.slug}/prompts/*")
    run_import(Upload.objects.get(), clock=now)
    assert Prompt.objects.filter(project=project, text="a hare").exists()


def test_an_answer_stays_on_its_page_until_its_annotator_has_signed_in_in_another_tab(
    at_work, alice, a_prompt
):
    alice.set_password(PASSWORD)
    alice.save()
    a_prompt(images=2)
    page = at_work(alice)
    press(page, "2 0 Enter 5 4 4 0 Enter 5 4 4 0 Enter 1 1 2 2")
    BrowserSession.objects.all().delete()
    page.keyboard.press("Enter")
    expect(page.get_by_text("You are signed out")).to_be_visible()
    other = page.context.new_page()
    other.goto(page.url)
    sign_in(other, alice)
    expect(other.locator("#workspace")).to_be_visible()
    other.close()
    page.get_by_role("button", name="Try again").click()
    expect(page.get_by_text("Nothing left to do here")).to_be_visible()
    assert Assignment.objects.get().state == Assignment.State.SUBMITTED

"""Several people at their browsers: who sees what, and where an answer goes that was sent back."""

import pytest
from playwright.sync_api import expect

from annotation.models import Assignment, Review
from tests.annotation.browser.hands import press

pytestmark = pytest.mark.django_db(transaction=True)


def rank_two(page):
    press(page, "2 0 Enter 5 4 4 0 Enter 5 4 4 0 Enter 1 1 2 2 Enter")


def test_the_second_annotator_never_sees_the_firsts_work(at_work, alice, bob, a_prompt):
    first, second = a_prompt(images=2), a_prompt(images=2)
    hers = at_work(alice)
    expect(hers.locator("#prompt")).to_have_text(first.text)
    hers.keyboard.press("5")
    expect(hers.locator("[data-saved]")).to_contain_text("Saved")

    his = at_work(bob)
    expect(his.locator("#prompt")).to_have_text(second.text)
    expect(his.locator("input:checked")).to_have_count(0)
    task = Assignment.objects.get(annotator=alice)
    answer = his.request.get(his.url + f"{task.token}/")
    assert answer.status in (404, 405)


def test_an_answer_sent_back_goes_to_another_annotator(at_work, alice, bob, rita, a_prompt):
    prompt = a_prompt(images=2)
    hers = at_work(alice)
    rank_two(hers)
    expect(hers.get_by_text("Nothing left to do here")).to_be_visible()

    inspecting = at_work(rita, "/inspect/")
    expect(inspecting.get_by_role("link", name="Begin")).to_be_focused()
    inspecting.keyboard.press("Enter")
    expect(inspecting.get_by_role("heading", name=prompt.text)).to_be_visible()
    inspecting.wait_for_load_state()
    inspecting.keyboard.press("r")
    inspecting.keyboard.type("Looked at one image only")
    inspecting.get_by_role("button", name="Send back, ask").click()
    expect(inspecting.get_by_text("Nothing waits to be inspected.")).to_be_visible()
    assert Review.objects.get().reason == "Looked at one image only"

    hers.reload()
    expect(hers.get_by_text("Nothing left to do here")).to_be_visible()
    his = at_work(bob)
    expect(his.locator("#prompt")).to_have_text(prompt.text)
    rank_two(his)
    expect(his.get_by_text("Nothing left to do here")).to_be_visible()

    inspecting.reload()
    inspecting.get_by_role("link", name="Begin").click()
    inspecting.wait_for_url("**/inspect/*/")
    inspecting.keyboard.press("a")
    expect(inspecting.get_by_text("Nothing waits to be inspected.")).to_be_visible()
    assert Assignment.objects.get(state=Assignment.State.ACCEPTED).annotator == bob


def test_images_need_signing_in_and_membership(at_work, a_page, live_server, alice, eve, a_prompt):
    address = f"{live_server.url}/images/{a_prompt().generations.first().image.token}"
    assert at_work(alice).request.get(address).status == 200
    assert at_work(eve, "/").request.get(address).status == 404
    assert a_page().request.get(address).status == 404


def test_somebody_signs_in_and_begins_with_enter(a_page, live_server, alice, a_prompt):
    prompt = a_prompt(images=2)
    alice.set_password("a long secret")
    alice.save()
    page = a_page()
    page.goto(live_server.url)
    page.get_by_label("User name").fill("alice")
    page.get_by_label("Password").fill("a long secret")
    page.keyboard.press("Enter")
    expect(page.get_by_role("link", name="Start")).to_be_focused()
    page.keyboard.press("Enter")
    page.get_by_role("button", name="I have read this, begin").click()
    expect(page.locator("#prompt")).to_have_text(prompt.text)

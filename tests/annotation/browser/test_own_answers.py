"""Going back to an answer in a real browser: by one key, by touch, in two tabs."""

import pytest
from playwright.sync_api import expect

from annotation.models import Revision
from tests.annotation.browser.hands import press
from tests.annotation.browser.test_workspace import PHONE, label_and_rate, stored_slots

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def answered(at_work, alice, a_prompt):
    """Alice's page after her first answer, images in slots 1 and 2, with the next task before her."""
    a_prompt(images=2)
    following = a_prompt(images=2)
    page = at_work(alice)
    label_and_rate(page, 5, 5)
    press(page, "1 1 2 2 Enter")
    expect(page.locator("#prompt")).to_have_text(following.text)
    return page


def opened(page):
    """Waits until the answer is on the page, and its scripts have begun."""
    expect(page.get_by_text("You are changing your answer")).to_be_visible()
    expect(page.locator("[data-go='rank'][aria-current='step']")).to_be_visible()


def test_the_last_answer_is_changed_by_keys_alone(answered):
    page = answered
    press(page, "4")  # the next task is begun already, and waits
    expect(page.locator("[data-saved]")).to_contain_text("Saved")
    press(page, "z")
    opened(page)
    expect(page.locator("[data-drop='1'] .tile[data-number='1']")).to_be_visible()
    press(page, "1 2 2 1 Enter")
    expect(page.locator("#messages")).to_contain_text("Changed answer stored.")
    expect(page.locator("input[name='category']:checked")).to_have_value("arts")
    assert stored_slots() == [2, 1]
    assert Revision.objects.count() == 1


def test_the_day_is_counted_above_the_work(answered):
    page = answered
    expect(page.locator("[data-today-count]")).to_have_text("1")
    label_and_rate(page, 5, 5)
    press(page, "1 1 2 2 Enter")
    expect(page.get_by_text("Nothing left to do here")).to_be_visible()
    expect(page.locator("[data-today-count]")).to_have_text("2")


def test_a_change_survives_a_reload_and_is_gone_when_it_is_left(answered):
    page = answered
    press(page, "z")
    opened(page)
    press(page, "1 5")
    page.reload()
    expect(page.locator("[data-drop='5'] .tile[data-number='1']")).to_be_visible()
    page.get_by_role("link", name="Leave it as it is").click()
    expect(page.get_by_text("You are changing your answer")).to_be_hidden()
    press(page, "z")
    opened(page)
    expect(page.locator("[data-drop='1'] .tile[data-number='1']")).to_be_visible()
    assert stored_slots() == [1, 2]


def test_the_later_of_two_tabs_is_told_and_led_to_what_is_stored(answered):
    page = answered
    press(page, "z")
    opened(page)
    other = page.context.new_page()
    other.goto(page.url)
    press(other, "1 4 Enter")
    expect(other.locator("#messages")).to_contain_text("Changed answer stored.")
    press(page, "1 5 Enter")
    expect(page.get_by_role("alert")).to_contain_text("in another tab")
    press(page, "Enter")
    expect(page.locator("[data-drop='4'] .tile[data-number='1']")).to_be_visible()
    assert stored_slots() == [4, 2]


def test_an_answer_is_found_in_the_list_and_changed_by_touch(answered, at_work, alice, project):
    page = at_work(alice, f"/work/{project.slug}/answers/", **PHONE)
    page.get_by_role("link", name="a fox, take 1").tap()
    opened(page)
    page.locator(".slot .tile[data-number='1']").tap()
    page.locator("[data-place='3']").tap()
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    page.locator("[data-submit]").tap()
    expect(page.locator("#messages")).to_contain_text("Changed answer stored.")
    assert stored_slots() == [3, 2]

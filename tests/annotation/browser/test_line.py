"""The line of what is acceptable, drawn by keys, undone, and drawn by a finger."""

import pytest
from playwright.sync_api import expect

from annotation.models import Ranking
from tests.accessibility import complaints
from tests.annotation.browser.hands import press
from tests.annotation.browser.test_workspace import PHONE

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def asks(project):
    type(project).objects.update(asks_label=False, asks_ratings=False, asks_acceptable=True)


def test_the_line_is_drawn_moved_and_undone_by_keys(at_work, asks, alice, a_prompt):
    a_prompt(images=2)
    page = at_work(alice)
    press(page, "1 1 2 2 Enter")
    expect(page.locator("[data-hint]")).to_have_text("Say which images are acceptable, or that none is.")
    press(page, "l l")  # none of them, then slot 1
    below = page.locator(".slot.below-line .tile")
    expect(below).to_have_attribute("data-number", "2")
    press(page, "n")
    expect(below).to_have_count(2)
    press(page, "u")
    expect(below).to_have_count(1)
    assert complaints(page, "the line") == []
    press(page, "l Shift+L Enter")
    expect(page.get_by_text("Nothing left to do here")).to_be_visible()
    assert Ranking.objects.get().acceptable_slots == 1


def test_a_finger_says_that_none_is_acceptable(at_work, asks, alice, a_prompt):
    a_prompt(images=2)
    page = at_work(alice, **PHONE)
    for number in ("1", "2"):
        page.locator(f".tile[data-number='{number}'] .tile-pick").tap()
        page.locator(f"[data-place='{number}']").tap()
    page.locator("#judgement").get_by_text("None of these").tap()
    expect(page.locator(".slot.below-line .tile")).to_have_count(2)
    page.locator("[data-submit]").tap()
    expect(page.get_by_text("Nothing left to do here")).to_be_visible()
    assert Ranking.objects.get().acceptable_slots == 0


@pytest.mark.parametrize("slots", [2, 9])
def test_the_line_is_one_row_on_a_phone(at_work, asks, alice, project, a_prompt, slots):
    type(project).objects.update(slots=slots)
    a_prompt(images=2)
    page = at_work(alice, **PHONE)
    choices = page.locator(".line-choice")
    expect(choices).to_have_count(slots + 1)
    boxes = [choice.bounding_box() for choice in choices.all()]
    assert len({box["y"] for box in boxes}) == 1
    assert min(box["width"] for box in boxes) >= 22
    assert max(box["x"] + box["width"] for box in boxes) <= page.viewport_size["width"]
    assert complaints(page, "the line of a phone") == []

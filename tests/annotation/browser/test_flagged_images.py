"""Flagged images: blurred until somebody wants to see them, wherever they are shown."""

import pytest
from django.utils import timezone
from playwright.sync_api import expect

from annotation.models import Generation
from annotation.services.assignments.assignments import claim_next
from annotation.services.judgements.judgements import submit_judgement
from tests.annotation.browser.hands import drag_by_mouse, press
from tests.annotation.browser.test_workspace import PHONE, stored_slots
from tests.cast import answer_for, luck

pytestmark = pytest.mark.django_db(transaction=True)
RATED = ".rated.current .stage"


@pytest.fixture
def flagged(a_prompt):
    """A prompt with three images, all flagged."""
    prompt = a_prompt(images=3)
    Generation.objects.update(is_flagged=True)
    return prompt


def is_blurred(place):
    return "blur" in place.locator("img").first.evaluate("image => getComputedStyle(image).filter")


def test_a_flagged_image_is_blurred_until_a_key_shows_it_everywhere(at_work, alice, flagged):
    page = at_work(alice)
    press(page, "1 0 Enter")
    expect(page.locator(RATED)).to_contain_text("flagged as possibly harmful")
    assert is_blurred(page.locator(RATED))
    assert is_blurred(page.locator(".frame").first)
    press(page, "h")
    assert not is_blurred(page.locator(RATED))
    assert not is_blurred(page.locator(".frame").first)
    assert is_blurred(page.locator(".frame").nth(1))  # the others wait for their turn
    press(page, "4 4 4 0 Enter")
    assert is_blurred(page.locator(RATED))


def test_a_flagged_image_is_shown_by_tab_and_enter_and_work_goes_on_by_keys(at_work, alice, flagged):
    page = at_work(alice)
    press(page, "1 0 Enter")
    page.locator(f"{RATED} [data-unveil]").focus()
    press(page, "Enter")
    assert not is_blurred(page.locator(RATED))
    press(page, "5 4 4 0 Enter")
    expect(page.locator(".rated.current[data-number='2']")).to_be_visible()


def test_flagged_images_are_placed_unseen_as_well_as_seen(at_work, alice, flagged):
    page = at_work(alice)
    press(page, "1 0 Enter 6 4 4 0 Enter 5 4 4 0 Enter 4 4 4 0 Enter")
    expect(page.locator(".tile .unveil:visible")).to_have_count(3)
    page.locator(".tile[data-number='2'] .unveil").click()
    expect(page.locator(".tile .unveil:visible")).to_have_count(2)
    expect(page.locator(".tile-pick[aria-pressed='true']")).to_have_count(0)
    drag_by_mouse(page, ".tray .tile[data-number='1'] .numeral", "[data-place='1']")
    press(page, "2 2 3 3 Enter")
    expect(page.get_by_text("Nothing left to do here")).to_be_visible()
    assert stored_slots() == [1, 2, 3]


def test_a_flagged_image_is_blurred_on_the_whole_window_too(at_work, alice, flagged):
    page = at_work(alice)
    press(page, "1 0 Enter")
    page.keyboard.press("Space")
    pane = page.locator(".pane.current")
    assert is_blurred(pane)
    press(page, "h")
    assert not is_blurred(pane)
    press(page, "ArrowRight")
    pane.locator("[data-unveil]").click()
    assert not is_blurred(pane)
    expect(page.locator("#viewer")).to_contain_text("Image 2 of 3")
    press(page, "Escape")
    assert not is_blurred(page.locator(RATED))


def test_a_finger_shows_a_flagged_image(at_work, alice, flagged):
    page = at_work(alice, **PHONE)
    page.get_by_text("Animals").tap()
    page.get_by_text("None of these").first.tap()
    page.locator("[data-next]").tap()
    page.locator(".rated.current .points").first.locator(".point").nth(
        3
    ).tap()  # the blurred image covers none
    assert is_blurred(page.locator(RATED))
    page.locator(f"{RATED} [data-unveil]").tap()
    assert not is_blurred(page.locator(RATED))
    expect(page.locator("#viewer")).not_to_be_visible()


def test_what_its_annotator_found_harmful_is_blurred_for_inspectors_and_admins(
    at_work, alice, rita, ada, project, a_prompt
):
    prompt = a_prompt(images=2)
    task = claim_next(annotator=alice, project=project, now=timezone.now(), generator=luck())
    found = answer_for(task, problems=("violent",))
    submit_judgement(assignment=task, annotator=alice, judgement=found, now=timezone.now(), generator=luck())
    page = at_work(rita, f"/inspect/{task.pk}/")
    assert is_blurred(page.locator(".verdict-slot .image").first)
    press(page, "h")
    assert not is_blurred(page.locator(".verdict-slot .image").first)
    expect(page.locator(".unveil:visible")).to_have_count(0)
    page = at_work(ada, f"/projects/{project.slug}/prompts/{prompt.pk}/")
    assert is_blurred(page.locator(".image").first)
    page.locator("[data-unveil]").first.click()
    assert not is_blurred(page.locator(".image").first)
    assert is_blurred(page.locator(".image").nth(1))

"""Axes are named on the settings page, and rated by keys in the order they have there."""

import pytest
from playwright.sync_api import expect

from annotation.models import Rating
from annotation.models.axes import MOST, PAPER, Axis, as_stored
from tests.annotation.browser.hands import press

pytestmark = pytest.mark.django_db(transaction=True)


def test_axes_are_moved_removed_and_added_and_then_rated_by_keys(at_work, ada, alice, project, a_prompt):
    page = at_work(ada, f"/projects/{project.slug}/settings/")
    page.get_by_text("Axes of rating").click()
    page.get_by_role("button", name="Move axis 3 up").press("Enter")  # fidelity before alignment
    page.get_by_role("button", name="Remove axis 3").click()
    expect(page.get_by_role("group", name="Axis 3")).to_be_hidden()
    page.get_by_role("button", name="Add an axis").press("Enter")
    page.keyboard.type("Legible text")
    page.get_by_role("button", name="Move axis 3 up").press("Enter")
    page.keyboard.press("Enter")  # the focus went with it
    page.get_by_role("button", name="Store settings").click()
    expect(page.get_by_text("Settings stored.")).to_be_visible()
    project.refresh_from_db()
    assert [axis.name for axis in project.rating_axes] == ["legible_text", "overall", "fidelity"]

    a_prompt(images=2)
    page = at_work(alice)
    choice = page.locator(".choice").first
    assert choice.evaluate("choice => parseFloat(getComputedStyle(choice).paddingLeft)") > 8
    press(page, "2 0 Enter  7 6 5 0 Enter  1 2 3 0 Enter")
    expect(page.locator('form[data-current="rank"]')).to_be_visible()
    press(page, "1 2 2 1")
    expect(page.locator("[data-hint], .hint").get_by_text("is rated 7 and image")).to_be_visible()
    press(page, "1 1 2 2 Enter")
    expect(page.get_by_text("Answer stored.")).to_be_visible()
    assert Rating.objects.get(others__legible_text=7).points == {
        "legible_text": 7,
        "overall": 6,
        "fidelity": 5,
    }


@pytest.mark.parametrize("axes", [6, MOST])
@pytest.mark.parametrize("width", [1366, 390])
def test_more_axes_than_the_window_holds_scroll_beside_the_image(
    at_work, alice, project, a_prompt, axes, width
):
    more = [Axis(f"more_{n}", f"More {n}", "What?", "Low", "Middle", "High") for n in range(len(PAPER), axes)]
    project.axes = as_stored([*PAPER, *more])
    project.save()
    a_prompt(images=2)
    page = at_work(alice, viewport={"width": width, "height": 650})
    press(page, f"2 0 Enter {'5 ' * (axes - 1)}")
    asked = page.locator(".rated.current .scale.active").bounding_box()
    assert asked["y"] + asked["height"] < page.locator(".task-foot").bounding_box()["y"] + 1
    press(page, "5")  # which scrolls to the problems
    expect(page.get_by_role("group", name="Problems").first).to_be_in_viewport()
    filmstrip = [".filmstrip button >> nth=0"] if width > 860 else []  # on a phone, above the image
    for part in (".asked h1", ".rated.current .stage img", *filmstrip):
        expect(page.locator(part)).to_be_in_viewport(ratio=1)

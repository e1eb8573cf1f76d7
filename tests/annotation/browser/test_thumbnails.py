"""Thumbnails in lists: one size from the start, blurred until asked for, and no detour for keys."""

import pytest
from playwright.sync_api import expect

from annotation.models import Generation
from tests.annotation.browser.test_flagged_images import is_blurred

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def listed(project, a_prompt):
    """Two prompts of six images; the first image of each is flagged."""
    prompts = [a_prompt(images=6), a_prompt(images=6)]
    for prompt in prompts:
        first = prompt.generations.order_by("image__token").first()
        Generation.objects.filter(pk=first.pk).update(is_flagged=True)
    return prompts


def test_a_strip_keeps_its_place_whether_its_images_have_come_or_not(at_work, ada, project, listed):
    page = at_work(ada, f"/projects/{project.slug}/prompts/")
    sizes = "images => images.map(image => [image.clientWidth, image.clientHeight])"
    loaded = page.locator(".thumb img").evaluate_all(sizes)
    assert loaded == [[60, 60]] * 8
    page.context.route("**/small", lambda route: route.abort())
    page.reload()
    assert page.locator(".thumb img").evaluate_all(sizes) == loaded


def test_a_flagged_thumbnail_is_shown_by_its_button_without_leaving_the_list(at_work, ada, project, listed):
    page = at_work(ada, f"/projects/{project.slug}/prompts/")
    veiled = page.locator(".thumb.veiled").first
    assert is_blurred(veiled)
    button = page.get_by_role("button", name="This image is flagged as possibly harmful. Show").first
    button.focus()
    page.keyboard.press("Enter")
    expect(page.locator(".thumb.veiled")).to_have_count(1)  # the other prompt's stays
    assert page.url.endswith("/prompts/")
    assert not is_blurred(page.locator(".thumb").first)


def test_a_thumbnail_leads_to_its_prompt_by_mouse_and_keys_pass_it(at_work, ada, project, listed):
    page = at_work(ada, f"/projects/{project.slug}/prompts/")
    newest = listed[1]
    page.get_by_role("link", name=newest.text, exact=True).focus()
    page.keyboard.press("Tab")  # past three links of the next row, to what shows its flagged image
    assert page.evaluate("document.activeElement.hasAttribute('data-unveil')")
    page.locator(".thumb:not(.veiled) a").first.click()
    assert page.url.endswith(f"/prompts/{newest.pk}/")

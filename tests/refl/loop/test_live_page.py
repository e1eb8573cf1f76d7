"""The loop's page in a browser: watched, and acted on by keys, by touch and without scripts."""

import re

import pytest
from django.urls import reverse
from django.utils.timezone import now
from playwright.sync_api import expect

from refl.models import SamplingRun
from rewardmodel.runs import states
from tests.accessibility import complaints

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def open_loop(a_page, client, ada, live_server, project, round_over):
    """Opens the loop's page as ada, after a round."""
    client.force_login(ada)

    def open_page(**options):
        page = a_page(**options)
        cookie = {"name": "sessionid", "value": client.cookies["sessionid"].value, "url": live_server.url}
        page.context.add_cookies([cookie])
        page.goto(live_server.url + reverse("loop", args=[project.slug]))
        return page

    return open_page


def test_a_step_is_started_by_keys_watched_and_cancelled_without_reloading(open_loop, no_worker):
    page = open_loop()
    start = page.get_by_role("button", name="Start: Make images")
    start.focus()
    page.keyboard.press("Enter")
    page.get_by_text("makes 8 images.").wait_for()
    step = page.locator("#sample")
    expect(step).to_contain_text("waits for a worker")
    page.evaluate("window.loadedOnce = true")

    run = SamplingRun.objects.get()
    page.locator("#cancel-sample").focus()
    states.claim(run, now=now())
    states.record_progress(run, now=now(), step=3, steps=8, points={})
    expect(step).to_contain_text("3 of 8")
    expect(page.locator("#cancel-sample")).to_be_focused()
    assert page.evaluate("window.loadedOnce")
    expect(page.locator("#history")).to_contain_text("asked for by ada")

    page.keyboard.press("Enter")
    expect(step).to_contain_text("stops after this step")
    run.refresh_from_db()
    assert run.cancel_requested


def test_without_scripts_every_button_works(open_loop):
    page = open_loop(java_script_enabled=False)
    page.get_by_role("button", name="Start: Freeze a dataset").click()
    page.get_by_text(re.compile("Dataset .* is frozen: 3 rankings, 9 pairs")).wait_for()
    page.get_by_role("button", name="Start again: Evaluate and promote").click()
    expect(page.get_by_role("alert")).to_contain_text("no two images in different slots")


def test_the_page_has_nothing_serious_and_fits_a_phone(open_loop, a_prompt):
    a_prompt()
    page = open_loop(viewport={"width": 390, "height": 844}, has_touch=True)
    page.get_by_role("button", name="Start: Make images").tap()
    page.locator("#cancel-sample").wait_for()
    page.reload()  # without the message, which fades
    page.locator("#outcomes before-after").first.scroll_into_view_if_needed()
    assert complaints(page, "loop") == []
    page.goto(page.url.partition("/projects/")[0] + "/")
    page.get_by_text("Make images").wait_for()
    assert complaints(page, "home") == []

"""The map of a selection, in a real browser."""

import pytest
from django.urls import reverse
from django.utils.timezone import now
from playwright.sync_api import expect

from annotation.services.projects.prompts import add_prompts
from rewardmodel.runs import states
from rewardmodel.runs.execution import Heartbeat
from rewardmodel.services.selections import queue_selection, select_prompts
from tests.accessibility import complaints
from tests.rewardmodel.runs.test_live_pages import signed_in

pytestmark = pytest.mark.django_db(transaction=True)
ANIMALS = ("fox", "owl", "hare", "cat")
PLACES = ("in the snow", "at night", "under water", "on the moon")


@pytest.fixture
def run(project, sentence_encoder, settings):
    """Four of sixteen prompts are chosen."""
    settings.SENTENCE_ENCODER = str(sentence_encoder)
    texts = {f"{a} {p}": f"a {a} {p}" for a in ANIMALS for p in PLACES}
    add_prompts(project=project, texts=texts)
    run = queue_selection(project=project, config={"count": 4, "neighbours": 3})
    states.claim(run, now=now())
    select_prompts(run, Heartbeat(run))
    states.finish(run, now=now())
    return run


@pytest.fixture
def open_map(a_page, live_server, ada, run):
    def open_map(**options):
        page = signed_in(a_page(**options), live_server, ada)
        page.goto(live_server.url + reverse("selection-run", args=[run.project.slug, run.pk]))
        expect(page.locator("prompt-map svg")).to_be_visible()
        return page

    return open_map


def where(page, run, prompt):
    """The pixels at which a prompt's dot is drawn."""
    plane = run.selection.plane
    index = plane["prompts"].index(prompt.pk)
    at = [plane["x"][index], plane["height"] - plane["y"][index]]
    return page.locator("prompt-map svg").evaluate(
        "(svg, [x, y]) => { const p = new DOMPoint(x, y).matrixTransform(svg.getScreenCTM());"
        " return { x: p.x, y: p.y }; }",
        at,
    )


def test_a_dot_says_its_prompt_and_leads_to_it(open_map, run, project):
    page, prompt = open_map(), project.prompts.get(key="owl at night")
    page.locator("prompt-map").scroll_into_view_if_needed()
    dot = where(page, run, prompt)
    page.mouse.move(dot["x"], dot["y"])
    expect(page.locator("prompt-map .tip")).to_have_text("a owl at night")
    page.mouse.move(2, 2)
    expect(page.locator("prompt-map .tip")).to_be_hidden()
    page.mouse.click(dot["x"], dot["y"])
    page.wait_for_url(f"**/prompts/{prompt.pk}/")
    expect(page.get_by_role("heading", name="a owl at night")).to_be_visible()


def test_a_finger_sees_the_prompt_first_and_opens_it_by_a_second_tap(open_map, run, project):
    page = open_map(has_touch=True, viewport={"width": 390, "height": 800})
    prompt = project.prompts.get(key="hare on the moon")
    page.locator("prompt-map").scroll_into_view_if_needed()
    dot = where(page, run, prompt)
    page.touchscreen.tap(dot["x"], dot["y"])
    expect(page.locator("prompt-map .tip")).to_have_text("a hare on the moon")
    page.touchscreen.tap(dot["x"], dot["y"])
    page.wait_for_url(f"**/prompts/{prompt.pk}/")


def test_a_listed_prompt_is_ringed_on_the_map(open_map, run):
    page, prompt = open_map(), run.selection.chosen.first().prompt
    page.locator(f"[data-prompt='{prompt.pk}'] a").focus()
    plane = run.selection.plane
    index = plane["prompts"].index(prompt.pk)
    ring = page.locator("prompt-map path.found")
    expect(ring).to_have_count(1)
    x, y = (float(number) for number in ring.get_attribute("d").strip("Mh0").split()[:2])
    assert (x, y) == pytest.approx((plane["x"][index], plane["height"] - plane["y"][index]))
    expect(page.locator("prompt-map .tip")).to_be_hidden()


def test_the_map_has_nothing_serious_and_is_not_wider_than_the_window(open_map):
    page = open_map()
    found = complaints(page, "map")
    assert not found, "\n".join(found)
    for width in (1440, 390):
        page.set_viewport_size({"width": width, "height": 800})
        assert page.locator("prompt-map svg").bounding_box()["width"] <= width

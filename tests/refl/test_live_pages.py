"""A tuning watched in a browser."""

import re

import pytest
from django.urls import reverse
from django.utils.timezone import now
from playwright.sync_api import expect

from refl.services.generators import keep_if_sound, register_tuned
from refl.services.tuning import queue_tuning
from rewardmodel.runs import states
from tests.accessibility import complaints
from tests.refl.test_generators import FALL, RISE
from tests.refl.test_pages import GUARDED, GUARDS, STAGED, sampled


@pytest.fixture
def at_work(transactional_db, project, generator, prompts, promoted, policy, settings, tmp_path):
    settings.RUNS_DIR = tmp_path
    run = queue_tuning(project=project)
    states.claim(run, now=now())
    measure(run, 1)
    (run.folder / "samples").mkdir(parents=True)
    sampled(run, 0)
    return run


def measure(run, step):
    values = {"reward": 0.1 * step, "reward_loss": 2 - 0.1 * step, "pretraining_loss": 1.0}
    states.record_progress(run, now=now(), step=step, steps=3, points={step: values})


@pytest.fixture
def adas_page(a_page, client, ada, live_server):
    client.force_login(ada)
    page = a_page()
    page.context.add_cookies(
        [{"name": "sessionid", "value": client.cookies["sessionid"].value, "url": live_server.url}]
    )
    return page


def test_an_admin_watches_a_tuning_to_its_end_without_reloading(adas_page, live_server, project, at_work):
    page = adas_page
    page.goto(live_server.url + reverse("tuning-run", args=[project.slug, at_work.pk]))
    page.get_by_text("1 of 3").wait_for()
    page.evaluate("window.loadedOnce = true")
    assert page.locator("#reward-curve .plot circle").count() == 1

    measure(at_work, 2)
    measure(at_work, 3)
    page.get_by_text("3 of 3").wait_for()
    page.locator("#reward-curve .plot path.curve").wait_for()
    page.get_by_text("judges what came out").wait_for()

    sampled(at_work, 3)
    keep_if_sound(register_tuned(run=at_work), tuned_on=RISE, held_out={"shipped": FALL})
    states.finish(at_work, now=now())
    page.get_by_text("finished").wait_for()
    page.get_by_text("is not kept").wait_for()
    expect(page.get_by_role("img", name="scene 0, After 3 updates")).to_be_visible()
    assert page.evaluate("window.loadedOnce")


def test_samples_are_chosen_by_a_slider_that_stays_where_it_is_put(adas_page, live_server, project, at_work):
    sampled(at_work, 0, 1)
    page = adas_page
    page.goto(live_server.url + reverse("tuning-run", args=[project.slug, at_work.pk]))
    slider = page.get_by_role("slider", name="Update", exact=True)
    expect(slider).to_have_attribute("aria-valuetext", "After 1 update")
    sampled(at_work, 2)  # the newest is followed
    expect(slider).to_have_attribute("aria-valuetext", "After 2 updates")
    expect(page.get_by_role("img", name="scene 4, Before tuning")).to_be_visible()

    slider.press("ArrowLeft")
    later = page.get_by_role("img", name="scene 4, After 1 update")
    expect(later.locator("image")).to_have_attribute("href", re.compile("/samples/1.png$"))
    measure(at_work, 2)
    sampled(at_work, 3)
    expect(slider).to_have_attribute("max", "3")
    expect(slider).to_be_focused()
    expect(slider).to_have_value("1")
    expect(later).to_be_visible()

    slider.press("End")
    expect(page.get_by_role("img", name="scene 4, After 3 updates")).to_be_visible()


def test_a_run_is_not_swapped_from_under_a_held_slider(adas_page, live_server, project, at_work):
    sampled(at_work, 0, 1, 2)
    page = adas_page
    page.goto(live_server.url + reverse("tuning-run", args=[project.slug, at_work.pk]))
    slider = page.get_by_role("slider", name="Update", exact=True)
    slider.scroll_into_view_if_needed()
    box = slider.bounding_box()
    page.mouse.move(box["x"] + box["width"] - 8, box["y"] + box["height"] / 2)
    page.mouse.down()
    sampled(at_work, 3)
    measure(at_work, 2)
    page.wait_for_timeout(2500)  # a poll comes in meanwhile
    expect(page.get_by_text("1 of 3")).to_be_visible()
    page.mouse.move(box["x"] + 8, box["y"] + box["height"] / 2)
    expect(page.get_by_role("img", name="scene 0, Before tuning")).to_have_count(2)
    page.mouse.up()
    expect(page.get_by_text("2 of 3")).to_be_visible()
    expect(slider).to_have_value("0")


def test_a_table_stays_scrolled_and_focused_while_its_run_goes_on(adas_page, live_server, project, at_work):
    at_work.config = dict(STAGED)
    sampled(at_work, 0)
    page = adas_page
    page.set_viewport_size({"width": 390, "height": 900})
    page.goto(live_server.url + reverse("tuning-run", args=[project.slug, at_work.pk]))
    table = page.locator("#stage-table")
    table.focus()
    for _ in range(3):
        page.keyboard.press("ArrowRight")
    expect(table).not_to_have_js_property("scrollLeft", 0)
    page.wait_for_timeout(300)  # until the browser has scrolled to its end, smoothly
    left = table.evaluate("table => table.scrollLeft")
    measure(at_work, 2)
    page.get_by_text("2 of 3", exact=True).wait_for()
    expect(table).to_be_focused()
    assert table.evaluate("table => table.scrollLeft") == pytest.approx(left, abs=1)


def test_no_page_has_anything_serious_or_is_wider_than_the_window(adas_page, live_server, project, at_work):
    at_work.config = dict(STAGED)
    sampled(at_work, 0, 3)
    for step, values in GUARDED.items():
        at_work.points.update_or_create(step=step, defaults={"values": values})
    keep_if_sound(register_tuned(run=at_work), tuned_on=RISE, held_out={"shipped": FALL}, guards=GUARDS)
    found = []
    slug = project.slug
    for name, of in (("generators", []), ("project-generators", [slug]), ("tuning-run", [slug, at_work.pk])):
        adas_page.goto(live_server.url + reverse(name, args=of))
        found += complaints(adas_page, name)
    assert adas_page.locator("#guards line-chart line.mark").count() == 3 * 2  # the alarm, and what was kept
    assert not found, "\n".join(found)

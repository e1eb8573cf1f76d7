"""Studies at a browser: opened by keys, watched while people answer, and read by whoever has the link."""

import pytest
from django.core.cache import cache
from django.urls import reverse
from django.utils.timezone import now
from playwright.sync_api import expect

from annotation.models import Generation
from annotation.services.projects.prompts import add_prompts
from refl.models import Study
from refl.services.studies import close_study, publish_study
from tests.accessibility import complaints
from tests.refl.asked_studies import answer_study, asked_study, two_generators
from tests.refl.test_live_pages import adas_page  # noqa: F401  # a fixture

PHONE = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True}


@pytest.fixture
def generators(transactional_db, project, pipeline):
    cache.clear()
    return two_generators(project, pipeline)


@pytest.fixture
def study(project, generators):
    return asked_study(project, generators, captions=4)


def address_of(live_server, name, study):
    return live_server.url + reverse(name, args=[study.project.slug, study.pk])


def test_an_admin_opens_a_study_by_keys_and_reads_what_it_takes_meanwhile(
    adas_page,  # noqa: F811
    live_server,
    project,
    generators,
):
    add_prompts(project=project, texts={f"p{n}": f"a plain text number {n}" for n in range(80)})
    page = adas_page
    page.goto(live_server.url + reverse("open-study", args=[project.slug]))
    page.get_by_label("tuned", exact=True).focus()
    page.keyboard.press("Space")
    page.get_by_label("Prompts", exact=True).fill("5")
    expect(page.locator("#plan strong").first).to_have_text("5")
    page.get_by_label("Opinions on each").fill("3")
    expect(page.locator("#plan strong").first).to_have_text("15")
    page.keyboard.press("Enter")
    page.wait_for_url("**/studies/*/")
    page.get_by_text("Waits for its images").wait_for()
    study = Study.objects.get()
    assert (study.compared, study.settings.captions, study.settings.opinions) == (generators, 5, 3)


def test_a_study_goes_on_without_reloading_and_what_was_wiped_stays(
    adas_page,  # noqa: F811
    live_server,
    study,
    alice,
    generators,
):
    page = adas_page
    page.goto(address_of(live_server, "study", study))
    page.evaluate("window.loadedOnce = true")
    slider = page.get_by_role("slider").first
    slider.focus()
    page.keyboard.press("End")
    answer_study(study, alice, generators, tasks=3)
    page.get_by_text("3 of 4", exact=True).wait_for()
    assert slider.input_value() == "100"
    expect(slider).to_be_focused()
    page.locator("#close").click()
    page.get_by_text("Closed by hand.").wait_for()
    page.get_by_role("link", name="small won 3").click()
    expect(page.locator("before-after")).to_have_count(3)
    page.get_by_role("link", name="All 4").click()
    pair = page.locator("before-after").first
    expect(page.locator("before-after")).to_have_count(4)
    pair.locator(".names").evaluate("names => names.firstChild.append('x'.repeat(99))")
    assert pair.evaluate("pair => pair.scrollWidth <= pair.parentElement.clientWidth")


def test_a_flagged_pair_is_blurred_until_somebody_wants_to_see_it(
    adas_page,  # noqa: F811
    live_server,
    study,
):
    Generation.objects.filter(generator="tuned").update(is_flagged=True)
    page = adas_page
    page.goto(address_of(live_server, "study", study))
    frame = page.locator("before-after .frame").first

    def is_blurred(image):
        return "blur" in image.evaluate("image => getComputedStyle(image).filter")

    assert all(is_blurred(image) for image in frame.locator("img").all())
    frame.locator("[data-unveil]").focus()
    page.keyboard.press("Enter")
    assert not any(is_blurred(image) for image in frame.locator("img").all())
    assert is_blurred(page.locator("before-after img").nth(2))
    frame.click(position={"x": 5, "y": 5})
    assert int(page.get_by_role("slider").first.input_value()) < 10


def test_whoever_has_the_link_reads_on_a_phone_and_wipes_by_finger(
    a_page, live_server, study, alice, generators
):
    answer_study(study, alice, generators)
    publish_study(close_study(study, reason="Enough.", now=now()), by=None)
    study.refresh_from_db()
    page = a_page(**PHONE)
    page.goto(live_server.url + reverse("public-study", args=[study.public_token]))
    for image in page.locator("before-after img").all():
        image.scroll_into_view_if_needed()
        expect(image).not_to_have_js_property("naturalWidth", 0)
    frame = page.locator("before-after .frame").first
    frame.scroll_into_view_if_needed()
    box = frame.bounding_box()
    page.touchscreen.tap(box["x"] + box["width"] * 0.9, box["y"] + 10)
    assert int(page.get_by_role("slider").first.input_value()) == pytest.approx(90, abs=1)
    page.get_by_role("link", name="No vote yet 0").tap()
    page.get_by_text("No pair of this outcome.").wait_for()


def test_no_page_has_anything_serious_or_is_wider_than_the_window(
    adas_page,  # noqa: F811
    live_server,
    study,
    alice,
    project,
    generators,
):
    answer_study(study, alice, generators, tasks=3)
    Generation.objects.filter(prompt__study_task__study=study).update(score=0.5, scored_by="reward-1")
    page, found = adas_page, []
    for name in ("project-studies", "open-study"):
        page.goto(live_server.url + reverse(name, args=[project.slug]))
        found += complaints(page, name)
    page.goto(address_of(live_server, "study", study))
    found += complaints(page, "study")
    publish_study(close_study(study, reason="Enough.", now=now()), by=None)
    study.refresh_from_db()
    page.goto(live_server.url + reverse("public-study", args=[study.public_token]))
    found += complaints(page, "public-study")
    assert not found, "\n".join(found)

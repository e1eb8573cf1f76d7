"""Images before and after a tuning, compared by keys, mouse and fingers."""

import pytest
from django.urls import reverse
from PIL import Image, ImageDraw
from playwright.sync_api import expect

from refl.judged_images import store_judged
from refl.models import Generator
from refl.services.generators import register_tuned
from refl.services.tuning import queue_tuning
from tests.accessibility import complaints

PHONE = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True}
PROMPTS = ["a red fox", "a blue owl left of a cat in the rain, at night"]


def drawn(colour):
    image = Image.new("RGB", (96, 64), "white")
    ImageDraw.Draw(image).ellipse((8, 8, 88, 56), fill=colour)
    return image


@pytest.fixture
def address(transactional_db, live_server, project, generator, prompts, promoted, settings, tmp_path):
    """The page of a tuned generator with two pairs."""
    settings.RUNS_DIR = tmp_path
    run = queue_tuning(project=project, config={})
    run.folder.mkdir(parents=True)
    store_judged(run.folder, PROMPTS, range(2), [drawn("brown")] * 2, [drawn("teal")] * 2)
    tuned = register_tuned(run=run)
    return live_server.url + reverse("generator", args=[project.slug, tuned.pk])


@pytest.fixture
def open_page(a_page, client, ada, live_server, address):
    def open_it(**options):
        client.force_login(ada)
        page = a_page(**options)
        cookie = {"name": "sessionid", "value": client.cookies["sessionid"].value, "url": live_server.url}
        page.context.add_cookies([cookie])
        page.goto(address)
        return page

    return open_it


def covered(frame):
    """The share of the frame, in %, that the first image covers."""
    return float(frame.evaluate("frame => getComputedStyle(frame).getPropertyValue('--at')").rstrip("%"))


def colour(page, frame, share):
    """What is seen in the middle of the frame's height, so far from the left."""
    shot = frame.screenshot()
    return page.evaluate(
        """async ([bytes, share]) => {
            const image = await createImageBitmap(new Blob([new Uint8Array(bytes)]));
            const canvas = new OffscreenCanvas(image.width, image.height).getContext("2d");
            canvas.drawImage(image, 0, 0);
            return [...canvas.getImageData(image.width * share, image.height * 0.4, 1, 1).data.slice(0, 3)];
        }""",
        [list(shot), share],
    )


BROWN, TEAL = [165, 42, 42], [0, 128, 128]


def test_keys_wipe_from_one_image_to_the_other(open_page):
    page = open_page()
    frame, slider = page.locator("before-after .frame").first, page.get_by_role("slider").first
    expect(slider).to_have_accessible_name(
        "How far small covers tuned-1: a red fox".replace("tuned-1", after(page))
    )
    assert (colour(page, frame, 0.3), colour(page, frame, 0.7)) == (BROWN, TEAL)
    slider.focus()
    page.keyboard.press("End")
    assert colour(page, frame, 0.7) == BROWN
    page.keyboard.press("Home")
    assert colour(page, frame, 0.3) == TEAL
    for _ in range(3):
        page.keyboard.press("ArrowRight")
    assert covered(frame) == 3
    expect(slider).to_have_attribute("aria-valuetext", f"3 % small, 97 % {after(page)}")
    assert covered(page.locator("before-after .frame").last) == 50


def after(page):
    return page.locator("before-after .names span").nth(1).inner_text()


def test_a_mouse_drags_the_line_and_stops_where_it_is_let_go(open_page):
    page = open_page()
    frame = page.locator("before-after .frame").first
    box = frame.bounding_box()
    middle = box["y"] + box["height"] / 2
    page.mouse.move(box["x"] + box["width"] * 0.25, middle)
    page.mouse.down()
    assert covered(frame) == pytest.approx(25, abs=1)
    page.mouse.move(box["x"] + box["width"] * 0.8, middle + 20, steps=5)
    assert covered(frame) == pytest.approx(80, abs=1)
    page.mouse.move(box["x"] - 300, middle, steps=5)
    assert covered(frame) == 0
    page.mouse.up()
    page.mouse.move(box["x"] + box["width"] * 0.5, middle)
    assert covered(frame) == 0


def test_a_finger_drags_the_line_sideways_and_scrolls_up_and_down(open_page):
    page = open_page(**PHONE)
    frame = page.locator("before-after .frame").first
    frame.scroll_into_view_if_needed()
    box, touch = frame.bounding_box(), page.context.new_cdp_session(page)

    def swipe(*ways):
        for kind, (x, y) in zip(["touchStart", *["touchMove"] * (len(ways) - 1)], ways, strict=True):
            point = {"x": box["x"] + x, "y": box["y"] + box["height"] / 2 + y}
            touch.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": [point]})
        touch.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})

    width, top = box["width"], page.evaluate("scrollY")
    swipe(*((width * share / 10, 0) for share in range(5, 10)))
    assert covered(frame) == pytest.approx(90, abs=1)
    assert page.evaluate("scrollY") == top
    assert frame.evaluate("frame => getComputedStyle(frame).touchAction") == "pan-y pinch-zoom"
    swipe(*((width / 2, -20 * step) for step in range(12)))
    page.wait_for_function("top => scrollY > top + 50", arg=top)


def test_all_are_seen_side_by_side_at_a_press(open_page):
    page = open_page()
    frame, button = page.locator("before-after .frame").first, page.get_by_role("button", name="Side by side")
    button.focus()
    page.keyboard.press("Enter")
    expect(button).to_have_attribute("aria-pressed", "true")
    left, right = (image.bounding_box() for image in frame.locator("img").all())
    assert right["x"] >= left["x"] + left["width"]
    assert (right["y"], right["width"]) == pytest.approx((left["y"], left["width"]), abs=1)
    expect(page.get_by_role("slider")).to_have_count(0)
    page.keyboard.press("Enter")
    expect(page.get_by_role("slider")).to_have_count(2)


def test_without_script_both_are_seen_side_by_side(open_page):
    page = open_page(java_script_enabled=False)
    left, right = (image.bounding_box() for image in page.locator("before-after img").all()[:2])
    assert right["x"] >= left["x"] + left["width"]
    assert page.get_by_role("slider").count() == 0
    assert page.get_by_text("Side by side").is_hidden()


def test_nothing_moves_when_the_images_come(open_page, address):
    page = open_page()
    page.route("**/judged/**", lambda route: route.abort())
    page.goto(address)
    empty = page.locator("before-after .frame").first.bounding_box()
    page.unroute("**/judged/**")
    page.goto(address)
    page.wait_for_function("document.querySelector('before-after img').complete")
    assert page.locator("before-after .frame").first.bounding_box() == empty
    assert empty["width"] / empty["height"] == pytest.approx(96 / 64, abs=0.02)


def test_the_gallery_has_nothing_serious_and_is_no_wider_than_the_window(open_page):
    page = open_page()
    found = complaints(page, "generator")
    page.get_by_role("button", name="Side by side").click()
    assert not [*found, *complaints(page, "generator, side by side")]


def test_both_generators_are_named_in_full_where_two_pairs_share_a_phone(open_page, generator):
    Generator.objects.filter(pk=generator.pk).update(name="shipped generator")
    page = open_page(**PHONE)
    page.reload()
    page.locator(".before-afters").evaluate("pairs => pairs.style.setProperty('--pair', '8rem')")
    names = page.locator("before-after .names span")
    expect(names.first).to_have_text("shipped generator")
    assert not any(names.evaluate_all("names => names.map(name => name.scrollWidth > name.clientWidth)"))
    long, short = (names.nth(number).bounding_box()["height"] for number in range(2))
    assert long > short  # "tuned-1" is not broken at its hyphen

"""Images on the whole window: one view for all of them, by keys, by mouse and by fingers."""

import io
import re

import PIL.Image
import pytest
from playwright.sync_api import expect

from annotation.services.assignments.assignments import open_assignments
from annotation.services.projects.prompts import NewImage, add_generations, add_prompts
from tests.annotation.browser.hands import press
from tests.annotation.browser.test_workspace import PHONE

pytestmark = pytest.mark.django_db(transaction=True)


def wide_picture(shade):
    """Twice as wide as high."""
    file = io.BytesIO()
    PIL.Image.new("RGB", (400, 200), (shade, 90, 128)).save(file, "PNG")
    return file.getvalue()


@pytest.fixture
def looking(at_work, alice, project):
    """Opens the first of three images on the whole window."""
    prompts, _ = add_prompts(project=project, texts={"p": "a wide fox"})
    images = [NewImage(wide_picture(60 * i), f"{i}.png", "sd") for i in range(3)]
    add_generations(prompt=prompts["p"], images=images)
    open_assignments(prompts=prompts.values())

    def look(**options):
        page = at_work(alice, **options)
        press(page, "1 0 Enter")
        page.keyboard.press("Space")
        expect(page.locator("#viewer")).to_contain_text("Image 1 of 3")
        return page

    return look


def view(page, number):
    """(scale, x, y) of an image on the window: x and y are its point in the middle of its pane, in shares."""
    return page.locator(f".pane[data-pane='{number - 1}']").evaluate(
        """pane => {
            const [scale, , , , right, down] = pane.querySelector('img').style.transform
                ? new DOMMatrix(pane.querySelector('img').style.transform).toFloat64Array()
                    .reduce((all, value, i) => [0, 12, 13].includes(i) ? [...all, value] : all, [])
                    .flatMap((value, i) => i === 0 ? [value, 0, 0, 0] : [value])
                : [1, 0, 0, 0, 0, 0];
            const box = pane.getBoundingClientRect();
            const width = Math.min(box.width, box.height * 2);
            return [scale, 0.5 - right / (width * scale), 0.5 - down / (width / 2 * scale)];
        }"""
    )


def same(one, other):
    return one == pytest.approx(other, abs=0.01)


def test_what_is_enlarged_in_one_image_is_enlarged_in_all_by_keys(looking):
    page = looking()
    press(page, "+ + +")
    page.keyboard.press("Shift+ArrowRight")
    scale, x, y = view(page, 1)
    assert (scale, y) == pytest.approx((3.375, 0.5))
    assert x > 0.51
    press(page, "ArrowRight")
    expect(page.locator("#viewer")).to_contain_text("Image 2 of 3")
    assert same(view(page, 2), [scale, x, y])
    press(page, "3")
    assert same(view(page, 3), [scale, x, y])
    press(page, "0")
    assert same(view(page, 3), [1, 0.5, 0.5])
    press(page, "Escape")
    expect(page.locator("#viewer")).not_to_be_visible()
    expect(page.locator(".rated.current[data-number='3']")).to_be_visible()


def test_the_wheel_enlarges_at_the_pointer_and_a_drag_moves_all_images(looking):
    page = looking()
    press(page, "c")
    expect(page.locator(".pane:visible")).to_have_count(3)
    box = page.locator(".pane[data-pane='1']").bounding_box()
    x, y = box["x"] + box["width"] * 0.7, box["y"] + box["height"] / 2
    page.mouse.move(x, y)
    page.mouse.wheel(0, -500)
    expect(page.get_by_role("button", name=re.compile("272 %"))).to_be_visible()
    enlarged = view(page, 2)
    assert enlarged[0] == pytest.approx(2.718, abs=0.01)
    assert enlarged[1] > 0.55
    assert all(same(view(page, number), enlarged) for number in (1, 3))
    page.mouse.down()
    page.mouse.move(x + 60, y, steps=4)
    page.mouse.up()
    moved = view(page, 2)
    assert moved[1] < enlarged[1]
    assert all(same(view(page, number), moved) for number in (1, 3))


def test_a_double_click_enlarges_and_goes_back_and_a_click_closes(looking):
    page = looking()
    page.locator(".pane.current").dblclick()
    assert view(page, 1)[0] == pytest.approx(3)
    page.locator(".pane.current").dblclick()
    assert view(page, 1)[0] == pytest.approx(1)
    page.locator(".pane.current").click()
    expect(page.locator("#viewer")).not_to_be_visible()


def test_images_are_compared_beside_each_other_and_one_is_chosen(looking):
    page = looking()
    press(page, "c")
    widths = page.locator(".pane:visible").evaluate_all("panes => panes.map(pane => pane.offsetWidth)")
    assert len(set(widths)) == 1
    page.locator(".pane[data-pane='2']").click()
    expect(page.locator("#viewer")).to_contain_text("Image 3 of 3")
    expect(page.locator(".pane:visible")).to_have_count(1)
    page.get_by_role("button", name="Compare").click()
    expect(page.locator(".pane:visible")).to_have_count(3)


def test_two_fingers_enlarge_all_images_on_a_phone(looking):
    page = looking(**PHONE)
    page.get_by_role("button", name="Compare").tap()
    box = page.locator(".pane[data-pane='0']").bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    touch = page.context.new_cdp_session(page)

    def fingers(kind, apart):
        points = [{"x": x - apart, "y": y, "id": 0}, {"x": x + apart, "y": y, "id": 1}]
        points = points if apart else []
        touch.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

    fingers("touchStart", 20)
    for apart in (30, 40, 60):
        fingers("touchMove", apart)
    fingers("touchEnd", 0)
    assert view(page, 1)[0] == pytest.approx(3, abs=0.1)
    assert same(view(page, 3), view(page, 1))
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    page.touchscreen.tap(x, y)
    page.touchscreen.tap(x, y)  # a double tap: all of it again
    expect(page.locator("[data-zoom='fit']")).to_contain_text("Fit")


def test_the_page_fills_the_screen_with_the_images_on_top(looking):
    page = looking()
    press(page, "f")
    expect(page.locator("html:fullscreen")).to_have_count(1)
    page.locator(".pane.current").click(trial=True)  # nothing lies over it
    expect(page.locator("#viewer")).to_contain_text("Image 1 of 3")
    press(page, "f")
    expect(page.locator("html:fullscreen")).to_have_count(0)

"""The images of a ranking fill the window, and are larger or smaller as an annotator wants them."""

import re
from math import ceil

import pytest
from playwright.sync_api import expect

from annotation.services.assignments.assignments import open_assignments
from annotation.services.projects.prompts import NewImage, add_generations, add_prompts
from tests.annotation.browser.hands import press
from tests.annotation.browser.test_workspace import PHONE
from tests.cast import picture

pytestmark = pytest.mark.django_db(transaction=True)
WINDOWS = {
    "laptop": {"viewport": {"width": 1440, "height": 900}},
    "screen": {"viewport": {"width": 1920, "height": 1080}},
    "tablet": {"viewport": {"width": 1024, "height": 768}},
    "phone": PHONE,
}
GAP = 8
MEASURE = """() => {
    const board = document.querySelector(".board").getBoundingClientRect();
    const tiles = [...document.querySelectorAll(".tile")];
    const box = (element) => element.getBoundingClientRect().toJSON();
    const boxes = (selector) => [...document.querySelectorAll(selector)].map(box);
    return {
        images: boxes(".tile-pick img"), tiles: boxes(".tile"),
        rail: boxes(".slot-title"), foot: boxes(".task-foot")[0],
        fits: [...new Set(tiles.map((tile) => getComputedStyle(tile.querySelector("img")).objectFit))],
        across: board.width - 22.5, down: document.querySelector(".rank").getBoundingClientRect().height,
        wide: document.documentElement.scrollWidth - window.innerWidth,
    };
}"""
FIT = """() => getComputedStyle(document.querySelector(".board")).getPropertyValue("--fit")"""
# A slow machine may paint a page that it has read in part: what moves until it is whole does not count.
SHIFTS = """() => new Promise((done) => {
    const there = performance.getEntriesByType("navigation")[0].domContentLoadedEventStart;
    const late = (list) => list.getEntries().filter((entry) => entry.startTime > there);
    const add = (list) => done(late(list).reduce((sum, entry) => sum + entry.value, 0));
    new PerformanceObserver(add).observe({ type: "layout-shift", buffered: true });
    setTimeout(() => done(0), 500);
})"""


@pytest.fixture
def ranking_only(project):
    """Tasks begin with the ranking."""
    type(project).objects.update(asks_label=False, asks_ratings=False)


def sides(measured):
    """The different sizes of the images, in pixels."""
    return {(round(box["width"]), round(box["height"])) for box in measured["images"]}


def place_all(page, count):
    press(page, " ".join(f"{number % 10} {(number + 1) // 2}" for number in range(1, count + 1)))
    expect(page.locator(".tray .tile")).to_have_count(0)


@pytest.mark.parametrize("count", [2, 5, 9, 10])
def test_all_images_and_all_slots_fit_the_window_before_and_after_they_are_placed(
    at_work, alice, ranking_only, a_prompt, count
):
    a_prompt(images=count)
    page = at_work(alice)
    before = page.evaluate(MEASURE)
    ((side, height),) = sides(before)
    assert side == height
    title, row = (
        before["rail"][0]["height"] + 1,
        before["tiles"][0]["height"] - before["images"][0]["height"] + 4,
    )
    rows = before["down"] - title - 11.25
    largest = max(
        min((before["across"] + GAP) / columns - GAP, rows / ceil(count / columns) - row)
        for columns in range(1, count + 1)
    )
    assert side == pytest.approx(largest, abs=1.5)
    place_all(page, count)
    after = page.evaluate(MEASURE)
    assert sides(after) == {(side, height)}
    for measured in (before, after):
        assert measured["wide"] <= 0
        assert measured["fits"] == ["contain"]
        assert len(measured["rail"]) == 6
        for box in (*measured["images"], *measured["rail"]):
            assert box["left"] >= 0
            assert box["right"] <= 1440
            assert box["bottom"] <= measured["foot"]["top"]


def test_nine_images_are_twice_as_wide_as_when_slots_had_columns(at_work, alice, ranking_only, a_prompt):
    a_prompt(images=9)
    assert min(sides(at_work(alice).evaluate(MEASURE)))[0] >= 2 * 132


@pytest.mark.parametrize(
    ("window", "count", "least"),
    [("screen", 9, 370), ("tablet", 9, 190), ("phone", 9, 175), ("phone", 2, 250)],
)
def test_no_window_is_too_narrow_and_none_is_wasted(
    at_work, alice, ranking_only, a_prompt, window, count, least
):
    a_prompt(images=count)
    page = at_work(alice, **WINDOWS[window])
    measured = page.evaluate(MEASURE)
    ((side, height),) = sides(measured)
    assert side == height
    assert side >= least
    assert measured["wide"] <= 0


def test_images_of_one_shape_have_tiles_of_that_shape(at_work, alice, ranking_only, project):
    prompts, _ = add_prompts(project=project, texts={"wide": "a wide fox"})
    images = [NewImage(picture(i, size=(16, 8)), f"{i}.png", "sd") for i in range(4)]
    add_generations(prompt=prompts["wide"], images=images)
    open_assignments(prompts=prompts.values())
    ((width, height),) = sides(at_work(alice).evaluate(MEASURE))
    assert width == pytest.approx(2 * height, abs=2)
    assert width > 550  # two beside each other, two rows; square tiles were 348


def test_nothing_moves_after_the_page_is_there(at_work, alice, ranking_only, a_prompt):
    a_prompt(images=9)
    page = at_work(alice)
    assert page.evaluate(SHIFTS) < 0.001


def test_keys_make_all_images_larger_and_smaller_until_the_annotator_chooses_again(
    at_work, alice, ranking_only, a_prompt
):
    a_prompt(images=9)
    page = at_work(alice)

    def side():
        ((width, _),) = sides(page.evaluate(MEASURE))
        return width

    fit = side()
    press(page, "1 1 2 1 +")
    larger = side()
    assert larger > 1.2 * fit
    assert page.evaluate(MEASURE)["wide"] <= 0
    expect(page.locator("[data-place='5']")).to_be_in_viewport()
    page.reload()
    expect(page.locator("[data-drop='1'] .tile")).to_have_count(2)
    assert side() == larger
    press(page, "- -")
    assert side() < fit
    press(page, "*")
    assert side() == fit
    press(page, "+ + + + + + +")
    expect(page.locator("[data-hint]")).to_have_text("The images are as large as they get")
    measured = page.evaluate(MEASURE)
    assert measured["images"][0]["height"] <= measured["foot"]["top"] - measured["rail"][0]["bottom"]
    press(page, "u u 9 5")  # what keys meant before, they mean still
    expect(page.locator("[data-drop='5'] .tile[data-number='9']")).to_be_attached()


def test_fingers_make_images_as_wide_as_a_phone(at_work, alice, ranking_only, a_prompt):
    a_prompt(images=4)
    page = at_work(alice, **PHONE)
    page.get_by_role("button", name="Larger").tap()
    ((side, _),) = sides(page.evaluate(MEASURE))
    assert side >= 350
    assert page.evaluate(MEASURE)["wide"] <= 0
    page.locator(".tile[data-number='3']").tap()
    page.locator("[data-place='2']").tap()
    expect(page.locator("[data-drop='2'] .tile[data-number='3']")).to_be_attached()


def test_another_annotator_of_the_same_device_keeps_the_size_that_fits(
    at_work, alice, ranking_only, a_prompt
):
    a_prompt(images=9)
    page = at_work(alice)
    fit = sides(page.evaluate(MEASURE))
    page.evaluate("localStorage.setItem('tile-steps of bob', 2)")
    page.reload()
    assert sides(page.evaluate(MEASURE)) == fit
    page.evaluate("localStorage.setItem('tile-steps of alice', 2)")
    page.reload()
    expect(page.locator("[data-size='fit']")).to_be_enabled()
    assert min(sides(page.evaluate(MEASURE))) > min(fit)


def test_a_browser_that_does_not_know_the_size_that_fits_still_ranks(at_work, alice, ranking_only, a_prompt):
    a_prompt(images=2)
    page = at_work(alice)
    fit = sides(page.evaluate(MEASURE))

    def without_property(route):
        response = route.fetch()
        route.fulfill(response=response, body=re.sub(r"@property --fit \{.*?\}", "", response.text()))

    page.context.route("**/workspace*.css", without_property)
    page.reload()
    assert page.evaluate(FIT).startswith("calc(")
    assert sides(page.evaluate(MEASURE)) == fit
    for size in ("smaller", "fit", "larger"):
        expect(page.locator(f"[data-size='{size}']")).to_be_disabled()
    place_all(page, 2)
    expect(page.locator("[data-drop='1'] .tile")).to_have_count(2)

"""From one task to the next in a real browser: nothing is waited for but the answer's receipt."""

import pytest
from playwright.sync_api import expect

from annotation.models import Assignment, Ranking
from tests.annotation.browser.hands import press
from tests.annotation.browser.test_workspace import label_and_rate
from tests.cast import NOW

pytestmark = pytest.mark.django_db(transaction=True)
# What is on the page in the first frame that shows another task: its prompt, and whether each image is there.
AT_FIRST_SIGHT = """() => {
    window.seen = new Promise((tell) => {
        new MutationObserver(() => requestAnimationFrame(() => tell({
            prompt: document.getElementById("prompt").textContent,
            images: [...document.querySelectorAll("#workspace img")].map(
                (image) => ({ url: image.src, there: image.complete && image.naturalWidth > 0 })),
        }))).observe(document.getElementById("main"), { childList: true });
    });
}"""


def ranked(page):
    """All but the last key of a task of two images; the next task is here by then."""
    label_and_rate(page, 5, 5)
    press(page, "1 1 2 2")
    expect(page.locator("form[data-next-ready]")).to_be_attached()


def test_the_next_task_is_there_with_its_images_once_the_answer_is_stored(at_work, alice, a_prompt):
    a_prompt(images=2)
    following, last = a_prompt(images=2), a_prompt(images=2)
    page = at_work(alice)
    ranked(page)
    page.evaluate(AT_FIRST_SIGHT)
    asked = []
    page.on("request", lambda request: asked.append(request))
    press(page, "Enter")
    seen = page.evaluate("seen")
    assert seen["prompt"] == following.text
    assert len(seen["images"]) > 2
    assert all(image["there"] for image in seen["images"])
    expect(page.locator("#messages")).to_contain_text("Answer stored.")
    assert (asked[0].method, asked[0].resource_type) == ("POST", "xhr")
    assert not [request for request in asked if (request.method, request.resource_type) == ("GET", "xhr")]
    assert not {request.url for request in asked} & {image["url"] for image in seen["images"]}
    page.reload()
    expect(page.locator("#prompt")).to_have_text(following.text)
    ranked(page)
    press(page, "Enter")
    expect(page.locator("#prompt")).to_have_text(last.text)
    assert Ranking.objects.count() == 2


def test_one_task_is_fetched_ahead_and_further_ones_come_with_the_receipts(at_work, alice, a_prompt):
    prompts = [a_prompt(images=2) for _ in range(4)]
    page = at_work(alice)
    expect(page.locator("form[data-next-ready]")).to_be_attached()  # what this page fetches does not count
    fetched = []
    page.on("request", lambda request: "/ahead/" in request.url and fetched.append(request.url))
    page.reload()
    for following in prompts[1:3]:
        ranked(page)
        press(page, "Enter")
        expect(page.locator("#prompt")).to_have_text(following.text)
    expect(page.locator("form[data-next-ready]")).to_be_attached()
    assert len(fetched) == 1


def test_a_task_at_hand_is_worked_on_like_any_other(at_work, alice, a_prompt):
    a_prompt(images=2)
    a_prompt(images=2)
    page = at_work(alice)
    ranked(page)
    press(page, "Enter")
    expect(page.locator("form[data-current='prompt']")).to_be_visible()
    press(page, "4")
    expect(page.locator("[data-saved]")).to_contain_text("Saved")
    page.reload()
    expect(page.locator("input[name='category']:checked")).to_have_value("arts")
    press(page, "0 Enter")
    for _ in range(2):
        press(page, "3 4 4 0 Enter")
    press(page, "1 2 2 3 Enter")
    expect(page.get_by_text("Nothing left to do here")).to_be_visible()
    assert Ranking.objects.count() == 2


def test_a_refused_answer_keeps_the_next_task_at_hand(at_work, alice, a_prompt):
    a_prompt(images=2)
    following = a_prompt(images=2)
    page = at_work(alice)
    label_and_rate(page, 3, 6)
    press(page, "1 1 2 2")
    expect(page.locator("form[data-next-ready]")).to_be_attached()
    press(page, "Enter")
    expect(page.get_by_role("alert")).to_contain_text("Image 2 is rated above image 1")
    press(page, "1 3 2 1 Enter")
    expect(page.locator("#prompt")).to_have_text(following.text)


def test_a_task_that_went_to_somebody_else_meanwhile_is_not_shown(at_work, alice, bob, a_prompt):
    a_prompt(images=2)
    a_prompt(images=2)
    page = at_work(alice)
    ranked(page)
    Assignment.objects.filter(claimed_at=None).update(annotator=bob, claimed_at=NOW)
    press(page, "Enter")
    expect(page.get_by_text("Nothing left to do here")).to_be_visible()
    assert Ranking.objects.count() == 1

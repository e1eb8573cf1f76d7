"""A whole task in a real browser: by keys, by mouse, by touch; and what survives when things go wrong."""

import re

import pytest
from playwright.sync_api import expect

from annotation.models import Assignment, Placement, PromptLabel, Ranking, Rating, Skip
from tests.annotation.browser.hands import drag_by_finger, drag_by_mouse, press

pytestmark = pytest.mark.django_db(transaction=True)
PHONE = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True}


def label_and_rate(page, *scores):
    """The first two stages by keys; scores are the overall ratings in the order shown."""
    press(page, "2 0 Enter")
    for score in scores:
        press(page, f"{score} 4 4 0 Enter")
    expect(page.locator('form[data-current="rank"]')).to_be_visible()


def stored_slots():
    """Slots in the order shown."""
    task = Assignment.objects.exclude(submitted_at=None).get()
    slots = dict(Placement.objects.filter(ranking__assignment=task).values_list("generation_id", "slot"))
    return [slots[pk] for pk in task.order]


def test_a_whole_task_by_keys_alone(at_work, alice, a_prompt):
    a_prompt(images=3)
    following = a_prompt(images=2)
    page = at_work(alice)

    press(page, "b u v Enter")  # vehicles, unclear, violence
    press(page, "6 5 4 1 2 Enter")  # the first image: 6, 5, 4, two problems
    press(page, "3 4 4 0 Enter")
    press(page, "3 2 2 0 Enter")
    press(page, "1 1 2 3 3 =")
    expect(page.locator(".tile", has=page.locator("[data-points='6']"))).to_be_visible()
    press(page, "u u 2 2 3 4 Enter")

    expect(page.locator("#prompt")).to_have_text(following.text)
    expect(page.locator("#messages")).to_contain_text("Answer stored.")
    task = Assignment.objects.get(state=Assignment.State.SUBMITTED)
    first = Rating.objects.get(assignment=task, generation=task.order[0])
    assert (first.overall, first.alignment, first.fidelity) == (6, 5, 4)
    assert first.problems == ["repeated", "body"]
    label = PromptLabel.objects.get()
    assert (label.category, label.intent_unclear, label.issues) == ("vehicles", True, ["violent"])
    assert stored_slots() == [1, 2, 4]


def test_a_task_is_skipped_by_keys(at_work, alice, a_prompt):
    a_prompt(images=2)
    following = a_prompt(images=2)
    page = at_work(alice)
    press(page, "2 x")  # begun, then thought better of
    expect(page.get_by_text("Of every 100 tasks you may skip 5.")).to_be_visible()
    press(page, "Escape x Space Enter")
    expect(page.locator("#prompt")).to_have_text(following.text)
    expect(page.locator("#messages")).to_contain_text("Skipped: somebody else is asked.")
    page.wait_for_timeout(1000)  # no draft of the skipped task follows
    expect(page.locator("#prompt")).to_have_text(following.text)
    assert Skip.objects.get().reason == "uncomfortable"


def test_what_an_answer_lacks_is_said_beside_its_question_until_it_is_there(at_work, alice, a_prompt):
    a_prompt(images=2)
    page = at_work(alice)
    press(page, "Enter")
    expect(page.locator("[data-question='category'] .error")).to_have_text(
        "Choose what the text is mainly about."
    )
    press(page, "2")
    expect(page.locator(".error.lacks")).to_have_count(0)
    press(page, "0 Enter 5 Enter")
    expect(page.locator("[data-question='rating-1-alignment'] .error")).to_have_text(
        "Choose a point from 1 to 7."
    )
    expect(page.locator("[data-hint]")).to_have_text("Image 1 is not rated yet: match with the text.")
    press(page, "4 4 Enter")
    expect(page.locator(".rated.current .problems .error")).to_be_visible()


def test_an_answer_that_lacks_something_is_not_sent_and_leads_to_what_it_lacks(at_work, alice, a_prompt):
    a_prompt(images=2)
    page = at_work(alice, **PHONE)
    page.on("request", lambda request: sent.append(request.url) if request.method == "POST" else None)
    sent = []
    page.get_by_role("button", name="Rank").tap()
    page.locator("[data-submit]").tap()
    expect(page.locator("[data-question='category'] .error")).to_be_visible()
    page.get_by_text("Animals").tap()
    page.get_by_text("None of these").first.tap()
    page.get_by_role("button", name="Rank").tap()
    page.locator("[data-submit]").tap()
    expect(page.locator("[data-question='rating-1-overall'] .error")).to_be_visible()
    expect(page.locator("[data-hint]")).to_have_text("Image 1 is not rated yet: overall.")
    assert all(address.endswith("/draft/") for address in sent)


def test_undo_and_ties_by_keys(at_work, alice, a_prompt):
    a_prompt(images=3)
    page = at_work(alice)
    label_and_rate(page, 4, 4, 4)
    press(page, "1 2 2 = 3 =")  # the third finds no room beside the two
    expect(page.locator("[data-hint]")).to_have_text("Slot 2 is full: it holds 2")
    press(page, "4 u 3 1 Enter")
    expect(page.get_by_text("Nothing left to do here")).to_be_visible()
    assert stored_slots() == [2, 2, 1]


def test_a_ranking_by_mouse(at_work, alice, a_prompt):
    a_prompt(images=3)
    page = at_work(alice)
    label_and_rate(page, 6, 5, 5)
    drag_by_mouse(page, ".tray .tile[data-number='1']", "[data-place='1']")
    drag_by_mouse(page, ".tray .tile[data-number='2']", "[data-place='3']")
    drag_by_mouse(page, ".tray .tile[data-number='3']", "[data-place='3']")
    drag_by_mouse(page, ".slot .tile[data-number='1']", "[data-place='3']")  # full: it goes back
    expect(page.locator("[data-hint]")).to_have_text("Slot 3 is full: it holds 2")
    page.get_by_role("button", name="Submit").dblclick()
    expect(page.get_by_text("Nothing left to do here")).to_be_visible()
    assert stored_slots() == [1, 3, 3]
    assert Ranking.objects.count() == 1


def test_the_click_after_a_drag_by_mouse_picks_an_image(at_work, alice, a_prompt):
    a_prompt(images=3)
    page = at_work(alice)
    label_and_rate(page, 6, 5, 5)
    drag_by_mouse(page, ".tray .tile[data-number='1']", "[data-place='1']")
    for number, slot in ((2, 2), (3, 4)):
        page.locator(f".tray .tile[data-number='{number}']").click()
        page.locator(f"[data-place='{slot}']").click()
    page.get_by_role("button", name="Submit").click()
    expect(page.get_by_text("Nothing left to do here")).to_be_visible()
    assert stored_slots() == [1, 2, 4]


def test_a_whole_task_by_touch_on_a_phone(at_work, alice, a_prompt):
    a_prompt(images=2)
    page = at_work(alice, **PHONE)
    page.get_by_text("Animals").tap()
    page.get_by_text("None of these").first.tap()
    page.locator("[data-next]").tap()
    for number in (1, 2):
        rated = page.locator(f".rated[data-number='{number}']")
        for scale in range(3):
            rated.locator(".points").nth(scale).locator(".point").nth(3).tap()
        rated.locator(".choice").last.tap()
        page.locator("[data-next]").tap()
    drag_by_finger(page, ".tray .tile[data-number='1']", "[data-place='2']")
    expect(page.locator("[data-drop='2'] .tile[data-number='1']")).to_be_visible()
    page.locator(".tray .tile[data-number='2']").tap()
    page.locator("[data-place='4']").tap()
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    page.locator("[data-submit]").tap()
    expect(page.get_by_text("Nothing left to do here")).to_be_visible()
    assert stored_slots() == [2, 4]


def test_a_draft_survives_a_reload_in_place(at_work, alice, a_prompt):
    a_prompt(images=3)
    page = at_work(alice)
    press(page, "5 0 Enter 7 6 5 0 Enter 3")
    expect(page.locator("[data-saved]")).to_contain_text(re.compile(r"Saved \d\d:\d\d"))
    shown = page.locator(".frame img").evaluate_all("images => images.map(image => image.src)")
    page.reload()
    assert page.locator(".frame img").evaluate_all("images => images.map(image => image.src)") == shown
    expect(page.locator(".rated.current[data-number='2']")).to_be_visible()
    expect(page.locator(".rated.current .point:has(input:checked)")).to_have_text("3")
    press(page, "4 4 0 Enter 2 4 4 0 Enter")  # goes on where it stopped: the second scale
    press(page, "1 1 2 2 3 3")
    expect(page.locator("[data-saved]")).to_contain_text("Saved")
    page.wait_for_timeout(900)
    page.reload()
    expect(page.locator("[data-drop='2'] .tile[data-number='2']")).to_be_visible()
    press(page, "Enter")
    expect(page.get_by_text("Nothing left to do here")).to_be_visible()
    assert stored_slots() == [1, 2, 3]
    assert Assignment.objects.get().draft is None


def test_a_contradiction_is_shown_at_once_and_refused_with_the_images_named(at_work, alice, a_prompt):
    a_prompt(images=3)
    page = at_work(alice)
    label_and_rate(page, 3, 6, 1)
    press(page, "1 1 2 2 3 3")
    expect(page.locator(".tile.contradicts")).to_have_count(2)
    expect(page.locator("[data-hint]")).to_contain_text("Image 2 is rated 6 and image 1 only 3")
    press(page, "Enter")
    expect(page.get_by_role("alert")).to_contain_text("Image 2 is rated above image 1")
    assert not Ranking.objects.exists()
    press(page, "1 3 2 1 3 5 Enter")  # put right: nothing else had to be done again
    expect(page.get_by_text("Nothing left to do here")).to_be_visible()
    assert stored_slots() == [3, 1, 5]


def test_impatient_keys_store_an_answer_once(at_work, alice, a_prompt):
    a_prompt(images=2)
    following = a_prompt(images=2)
    page = at_work(alice)
    label_and_rate(page, 5, 5)
    press(page, "1 1 2 2 Enter Enter Enter")
    expect(page.locator("#prompt")).to_have_text(following.text)
    assert Ranking.objects.count() == 1


def test_an_answer_that_did_not_arrive_stays_on_the_page_and_can_be_sent_again(at_work, alice, a_prompt):
    a_prompt(images=2)
    page = at_work(alice)
    label_and_rate(page, 5, 5)
    press(page, "1 1 2 2")
    page.context.set_offline(True)
    press(page, "Enter")
    expect(page.locator("#messages")).to_contain_text("Nothing is lost")
    assert not Ranking.objects.exists()
    page.context.set_offline(False)
    page.get_by_role("button", name="Try again").click()
    expect(page.get_by_text("Nothing left to do here")).to_be_visible()
    assert stored_slots() == [1, 2]


def test_what_a_reload_outran_is_still_on_the_page(at_work, alice, a_prompt):
    a_prompt(images=2)
    page = at_work(alice)
    label_and_rate(page, 6, 5)
    expect(page.locator("[data-saved]")).to_contain_text("Saved")
    page.wait_for_timeout(900)
    page.route("**/draft/", lambda route: route.abort())  # on its way when the page is asked for again
    press(page, "1 2 2 2 ArrowLeft 3")
    page.reload()
    expect(page.locator("[data-drop='2'] .tile[data-number='1']")).to_be_visible()
    expect(page.locator("[data-drop='3'] .tile[data-number='2']")).to_be_visible()
    page.unroute("**/draft/")
    expect(page.locator("[data-saved]")).to_contain_text("Saved", timeout=10_000)
    press(page, "Enter")
    expect(page.get_by_text("Nothing left to do here")).to_be_visible()
    assert stored_slots() == [2, 3]


def test_a_newer_draft_of_another_machine_stands_against_what_this_one_could_not_send(
    at_work, alice, a_prompt
):
    a_prompt(images=2)
    page, elsewhere = at_work(alice), at_work(alice)
    page.context.set_offline(True)
    press(page, "3")
    expect(page.locator("[data-saved]")).to_contain_text("no connection")
    press(elsewhere, "5")
    expect(elsewhere.locator("[data-saved]")).to_contain_text("Saved")
    page.context.set_offline(False)
    page.route("**/draft/", lambda route: route.abort())
    page.reload()
    expect(page.locator("[name='category']:checked")).to_have_value("food")


def test_somebody_signed_out_in_the_middle_signs_in_elsewhere_and_goes_on(
    at_work, live_server, alice, a_prompt
):
    alice.set_password("a long secret")
    alice.save()
    a_prompt(images=2)
    page = at_work(alice)
    page.context.clear_cookies()
    label_and_rate(page, 6, 5)
    expect(page.locator("[data-saved]")).to_contain_text("you are signed out")
    press(page, "1 1 2 2 Enter")
    expect(page.locator("#messages")).to_contain_text("Sign in in another tab")
    other = page.context.new_page()
    other.goto(live_server.url)
    other.get_by_label("User name").fill("alice")
    other.get_by_label("Password").fill("a long secret")
    other.keyboard.press("Enter")
    expect(other.get_by_role("button", name="Sign out")).to_be_visible()
    expect(page.locator("[data-saved]")).to_contain_text("Saved", timeout=20_000)  # it tries now and then
    page.get_by_role("button", name="Try again").click()
    expect(page.get_by_text("Nothing left to do here")).to_be_visible()
    assert stored_slots() == [1, 2]


def test_an_answer_whose_receipt_was_lost_is_stored_once_and_the_page_says_so(at_work, alice, a_prompt):
    a_prompt(images=2)
    page = at_work(alice)

    def lose_receipt(route):
        route.fetch()
        route.abort()

    # Long before it is needed: a page may send what it asks for right afterwards past a route just made.
    page.route(re.compile(r"/work/.*[^t]/$"), lose_receipt)
    label_and_rate(page, 5, 5)
    press(page, "1 1 2 2 Enter")
    expect(page.get_by_role("alert")).to_contain_text("Your answer arrived and is stored")
    page.unroute_all()
    press(page, "Enter")
    expect(page.get_by_text("Nothing left to do here")).to_be_visible()
    assert stored_slots() == [1, 2]


def test_a_task_taken_away_says_so_while_it_is_worked_on(at_work, alice, a_prompt):
    a_prompt(images=2)
    page = at_work(alice)
    Assignment.objects.update(
        state="open", annotator=None, leased_until=None, order=[], draft=None, drafted_at=None
    )
    press(page, "3")
    expect(page.get_by_role("alert")).to_contain_text("not yours any more")
    press(page, "Enter")
    expect(page.locator("#judgement")).to_be_visible()


def test_an_image_fills_the_window_and_arrows_go_through_the_others(at_work, alice, a_prompt):
    a_prompt(images=3)
    page = at_work(alice)
    press(page, "1 0 Enter")
    page.locator(".rated.current .stage img").click()
    expect(page.locator("#viewer")).to_contain_text("Image 1 of 3")
    press(page, "ArrowRight ArrowRight")
    expect(page.locator("#viewer")).to_contain_text("Image 3 of 3")
    press(page, "Escape")
    expect(page.locator(".rated.current[data-number='3']")).to_be_visible()


def test_keys_and_guideline_open_over_the_task_and_close_again(at_work, alice, a_prompt):
    a_prompt(images=2)
    page = at_work(alice)
    press(page, "?")
    expect(page.get_by_role("heading", name="Keys")).to_be_visible()
    press(page, "Escape g")
    expect(page.locator("#guideline")).to_contain_text("Be fair")
    press(page, "Escape 4")
    expect(page.locator("input[name='category']:checked")).to_have_value("arts")


def test_while_an_image_is_dragged_its_slot_is_marked_and_no_other_image_moves(at_work, alice, a_prompt):
    a_prompt(images=3)
    page = at_work(alice)
    label_and_rate(page, 5, 5, 5)
    press(page, "1 2")
    page.locator(".tile[data-number='3']").hover()
    places = "tiles => tiles.map(tile => tile.getBoundingClientRect().x)"
    before = page.locator(".rank .tile").evaluate_all(places)
    tie, slot = page.locator(".tile[data-number='1']"), page.locator("[data-place='4']")
    page.mouse.down()
    for target, marked in ((tie, "2"), (slot, "4")):
        box = target.bounding_box()
        page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2, steps=6)
        expect(page.locator(".aimed")).to_have_attribute("data-place", marked)
        assert page.locator(".rank .tile").evaluate_all(places) == before
    page.mouse.up()
    expect(page.locator(".aimed")).to_have_count(0)
    expect(page.locator("[data-drop='4'] .tile")).to_have_count(1)


def test_the_outline_of_a_picked_image_leaves_the_words_above_it_legible(at_work, alice, a_prompt):
    a_prompt(images=3)
    page = at_work(alice)
    label_and_rate(page, 5, 5, 5)
    press(page, "1")
    free = page.locator(".tile[data-number='1']").evaluate(
        """tile => {
            const caption = getComputedStyle(tile, "::before");
            const outline = getComputedStyle(tile.querySelector(".tile-pick"));
            const words = parseFloat(caption.borderTopWidth) + parseFloat(caption.lineHeight);
            const reach = parseFloat(outline.outlineWidth) + parseFloat(outline.outlineOffset);
            return parseFloat(caption.height) - words - reach;
        }"""
    )
    assert free >= 0


def test_a_stage_begins_at_its_top_on_a_phone(at_work, alice, a_prompt):
    a_prompt(images=9)
    page = at_work(alice, **PHONE)
    press(page, "2 0 Enter" + 8 * " 5 4 4 0 Enter" + " 5 4 4 0")
    page.evaluate("window.scrollTo(0, document.body.scrollHeight)")
    page.locator("[data-next]").tap()
    expect(page.locator(".tile[data-number='1'] img")).to_be_in_viewport(ratio=1)

"""My answers: the list, the way back to the last one, and changing it on its page."""

import pytest
from django.test import Client
from django.utils import timezone

from annotation.models import Assignment, Placement, Revision
from annotation.services.judgements.reviews import accept
from tests.annotation.posts import address, begin, filled_in

HTMX = {"HX-Request": "true"}


@pytest.fixture
def answer(client, alice, project, a_prompt):
    """Given by alice in her browser, `client`: the images in slots 1, 1, 2 of the order shown."""
    a_prompt(images=3)
    task = begin(client, alice, project)
    client.post(address(task), filled_in(task))
    task.refresh_from_db()
    return task


def page_of(answer):
    return f"/work/{answer.project.slug}/answers/{answer.token}/"


def changed(answer, **changes):
    return filled_in(answer, slots=[3, 2, 1], **{"version": answer.version, **changes})


def slots_of(answer):
    slots = dict(Placement.objects.filter(ranking__assignment=answer).values_list("generation_id", "slot"))
    return [slots[pk] for pk in answer.order]


def test_my_answers_are_listed_with_their_prompt_and_state(client, answer, rita):
    listed = client.get(f"/work/{answer.project.slug}/answers/").text
    assert answer.prompt.text in listed
    assert "can be changed" in listed
    accept(assignment=answer, inspector=rita, now=timezone.now())
    assert "can be changed" not in client.get(f"/work/{answer.project.slug}/answers/").text


def test_nobody_elses_answers_are_listed(answer, bob):
    his = Client()
    his.force_login(bob)
    work = f"/work/{answer.project.slug}/"
    page = his.get(f"{work}answers/").text
    assert f'You have answered nothing here yet. <a href="{work}">Begin</a>' in page


def test_the_last_answer_is_one_step_away(client, answer):
    opened = client.get(f"/work/{answer.project.slug}/answers/last/")
    assert opened.url == page_of(answer)
    page = client.get(opened.url).text
    assert "You are changing your answer" in page
    assert '<option value="2" selected>' in page


def test_who_answered_nothing_is_told_so(client, alice, project, a_prompt):
    a_prompt()
    begin(client, alice, project)
    page = client.get(f"/work/{project.slug}/answers/last/", follow=True).text
    assert "You have answered nothing here yet." in page
    assert 'id="judgement"' in page


def test_a_change_is_stored_and_work_goes_on(client, answer):
    done = client.post(page_of(answer), changed(answer), headers=HTMX)
    assert done.headers["HX-Redirect"] == f"/work/{answer.project.slug}/"
    assert slots_of(answer) == [3, 2, 1]
    assert Revision.objects.count() == 1
    assert client.post(page_of(answer), changed(answer)).status_code == 302  # without scripts, and again


def test_a_change_that_breaks_a_rule_is_shown_again_with_the_images_named(client, answer):
    refused = client.post(page_of(answer), changed(answer, overall=[7, 6, 5]), headers=HTMX)
    assert refused.status_code == 422
    assert "Image 1 is rated above image 2" in refused.text
    missing = client.post(page_of(answer), changed(answer, **{"slot-1": None}), headers=HTMX)
    assert (missing.status_code, "Image 1 is in no slot." in missing.text) == (422, True)
    assert slots_of(answer) == [1, 1, 2]


def test_a_stranger_finds_no_such_answer(answer, bob, eve):
    for person in (bob, eve):
        theirs = Client()
        theirs.force_login(person)
        assert theirs.get(page_of(answer)).status_code == 404
        assert theirs.post(page_of(answer), changed(answer)).status_code == 404
    assert slots_of(answer) == [1, 1, 2]


def test_an_inspected_answer_is_shown_and_says_why_it_is_closed(client, answer, rita):
    accept(assignment=answer, inspector=rita, now=timezone.now())
    page = client.get(page_of(answer)).text
    assert "An inspector has accepted this answer. It cannot be changed any more." in page
    assert 'id="judgement"' not in page
    late = client.post(page_of(answer), changed(answer), headers=HTMX)
    assert late.status_code == 409
    assert "An inspector has accepted this answer. What you changed just now is not stored." in late.text
    assert slots_of(answer) == [1, 1, 2]


def test_the_later_of_two_tabs_is_told(client, answer):
    client.post(page_of(answer), changed(answer))
    late = client.post(page_of(answer), changed(answer, **{"slot-3": "2"}), headers=HTMX)
    assert late.status_code == 409
    assert "in another tab or at another machine" in late.text
    assert slots_of(answer) == [3, 2, 1]


def test_an_inspector_is_shown_the_answer_that_changed_under_their_eyes(client, answer, rita):
    inspecting = Client()
    inspecting.force_login(rita)
    read = answer.version
    client.post(page_of(answer), changed(answer))
    for verdict in ("accept", "send-back"):
        posted = {"version": read, "reason": "hasty"}
        late = inspecting.post(f"/inspect/{answer.pk}/{verdict}/", posted)
        assert (late.status_code, "alice changed this answer" in late.text) == (409, True)
    answer.refresh_from_db()
    assert answer.state == Assignment.State.SUBMITTED
    inspecting.post(f"/inspect/{answer.pk}/accept/", {"version": answer.version})
    answer.refresh_from_db()
    assert answer.state == Assignment.State.ACCEPTED

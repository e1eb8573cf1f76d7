"""The task behind the one in hand: leased for a short while, shown at once, and none before it is begun."""

import random
from datetime import timedelta

import pytest
from django.test import Client

from annotation.models import Assignment, Placement, Ranking
from annotation.selectors.checks.conduct import seconds_an_image
from annotation.services.assignments.assignments import AHEAD, LeaseLost, claim_ahead, claim_next, save_draft
from annotation.services.checks.pauses import pause
from annotation.services.judgements.judgements import submit_judgement
from annotation.services.projects.projects import publish_guideline
from tests.annotation.assignments.test_assignments import in_threads
from tests.annotation.checks.test_checks import GOLD, NEW
from tests.annotation.posts import address, begin, filled_in, left_as_draft
from tests.cast import NOW, answer_for, luck

HTMX = {"HX-Request": "true"}
MINUTE = timedelta(minutes=1)


def claim(annotator, project, now=NOW, seed=1):
    return claim_next(annotator=annotator, project=project, now=now, generator=random.Random(seed))


def look_ahead(annotator, project, now=NOW, seed=2):
    return claim_ahead(annotator=annotator, project=project, now=now, generator=random.Random(seed))


def submit(task, now=NOW):
    judgement = answer_for(task)
    submit_judgement(
        assignment=task, annotator=task.annotator, judgement=judgement, now=now, generator=luck()
    )


def test_the_task_ahead_is_the_next_one_leased_for_a_few_minutes(alice, project, a_prompt):
    first, second = a_prompt(), a_prompt()
    held, ready = claim(alice, project), look_ahead(alice, project)
    assert (held.prompt, ready.prompt) == (first, second)
    assert (ready.claimed_at, ready.leased_until) == (None, NOW + AHEAD)
    assert claim(alice, project) == held


def test_a_task_that_another_began_does_not_lie_ready_even_when_its_lease_ran_out(
    alice, bob, project, a_prompt
):
    a_prompt(), a_prompt()
    claim(bob, project)
    began = claim(alice, project)
    save_draft(assignment=began, annotator=alice, answer={"step": ["rate"]}, now=NOW)
    later = NOW + project.lease + MINUTE
    claim(bob, project, now=later)
    assert look_ahead(bob, project, now=later) is None
    assert Assignment.objects.get(pk=began.pk).draft == {"step": ["rate"]}


def test_looking_ahead_again_gives_the_same_task_in_the_same_order(alice, project, a_prompt):
    for _ in range(3):
        a_prompt(images=8)
    claim(alice, project)
    ready = look_ahead(alice, project)
    again = look_ahead(alice, project, now=NOW + MINUTE, seed=9)
    assert (again, again.order) == (ready, ready.order)
    assert again.leased_until == NOW + MINUTE + AHEAD


def test_the_task_ahead_is_begun_when_the_one_in_hand_is_answered_and_time_counts_from_then(
    alice, project, a_prompt
):
    a_prompt(), a_prompt(images=2)
    held, ready = claim(alice, project), look_ahead(alice, project)
    submit(held, now=NOW + 3 * MINUTE)
    begun = claim(alice, project, now=NOW + 3 * MINUTE)
    assert (begun, begun.order) == (ready, ready.order)
    assert begun.claimed_at == NOW + 3 * MINUTE
    assert begun.leased_until == NOW + 3 * MINUTE + project.lease
    submit(begun, now=NOW + 4 * MINUTE)
    assert vars(seconds_an_image(Assignment.objects.filter(pk=begun.pk)).get())["each"] == 30


def test_a_task_ahead_that_is_not_begun_goes_back_soon(alice, bob, project, a_prompt):
    a_prompt(), a_prompt()
    third = a_prompt()
    claim(alice, project)
    ready = look_ahead(alice, project)
    held = claim(bob, project, now=NOW + AHEAD - MINUTE)
    assert held.prompt == third
    submit(held)
    assert look_ahead(bob, project, now=NOW + AHEAD - MINUTE) is None
    assert look_ahead(bob, project, now=NOW + AHEAD) == ready


def test_who_finds_nothing_else_gets_what_only_lies_ready_for_somebody(alice, bob, project, a_prompt):
    a_prompt(), a_prompt(images=8)
    held, ready = claim(alice, project), look_ahead(alice, project)
    taken = claim(bob, project)
    assert taken == ready
    assert taken.order != ready.order
    assert look_ahead(bob, project) is None
    submit(held)
    assert claim(alice, project) is None


def test_a_task_ahead_cannot_be_answered_before_it_is_begun(client, alice, project, a_prompt):
    a_prompt(), a_prompt()
    begin(client, alice, project)
    ready = look_ahead(alice, project)
    with pytest.raises(LeaseLost):
        submit(ready)
    assert client.post(address(ready), filled_in(ready), headers=HTMX).status_code == 404
    assert client.post(address(ready) + "draft/", left_as_draft(ready, category="food")).status_code == 404
    assert not Ranking.objects.exists()


def test_checks_lie_ahead_like_other_tasks(alice, a_project, a_prompt, a_gold):
    project = a_project(gold_share=0.5)
    project.memberships.create(user=alice, role="annotator")
    gold = a_gold(project)
    for _ in range(6):
        a_prompt(project=project)
    held = claim_next(annotator=alice, project=project, now=NOW, generator=NEW)
    kinds = []
    for chance in (NEW, GOLD, GOLD, NEW):
        ready = claim_ahead(annotator=alice, project=project, now=NOW, generator=chance)
        submit(held)
        held = claim_next(annotator=alice, project=project, now=NOW, generator=GOLD)
        assert held == ready
        kinds.append(held.kind)
    assert kinds == ["ordinary", "gold", "ordinary", "ordinary"]
    assert Assignment.objects.get(kind="gold").prompt == gold.prompt


@pytest.mark.django_db(transaction=True)
def test_two_tabs_that_look_ahead_at_once_see_the_same_task(alice, project, a_prompt):
    for _ in range(4):
        a_prompt()
    claim(alice, project)
    ready = in_threads(lambda person: look_ahead(person, project), [alice] * 8, workers=8)
    assert len({(task.pk, tuple(task.order)) for task in ready}) == 1
    assert Assignment.objects.filter(state="leased").count() == 2


@pytest.fixture
def at_work(client, alice, project, a_prompt):
    """alice's page, with a task in hand and one ahead: the one in hand, and the version of the other."""
    a_prompt(), a_prompt(images=2)
    held = begin(client, alice, project)
    page = client.get(f"/work/{project.slug}/ahead/", headers=HTMX)
    ready = Assignment.objects.get(state="leased", claimed_at=None)
    assert f'data-ready="{ready.ready_version}"' in page.text
    assert ready.prompt.text in page.text
    assert "messages" not in page.text
    return held, ready


def test_the_receipt_of_an_answer_brings_the_claim_on_the_task_at_hand_and_the_task_behind(
    client, at_work, a_prompt
):
    held, ready = at_work
    behind = a_prompt()
    page = client.post(address(held), filled_in(held, ready=ready.ready_version), headers=HTMX)
    ready.refresh_from_db()
    assert page.headers["Task-Claim"] == ready.claim != ""
    task = Assignment.objects.get(state="leased", claimed_at=None)
    assert task.prompt == behind
    _, template = page.text.split("<template>")
    assert ready.prompt.text not in page.text
    assert behind.text in template
    assert f'data-ready="{task.ready_version}"' in template
    assert "Answer stored." in template.split("</template>")[1]
    answer = filled_in(ready, ready=task.ready_version)
    assert "<template>" not in client.post(address(ready), answer, headers=HTMX).text


def test_with_the_last_answers_only_the_claim_on_the_task_at_hand_is_sent(client, at_work):
    held, ready = at_work
    answer = filled_in(held, ready=ready.ready_version)
    page = client.post(address(held), answer, headers=HTMX)
    assert "Answer stored." in page.text
    assert 'id="workspace"' not in page.text
    ready.refresh_from_db()
    assert page.headers["Task-Claim"] == ready.claim != ""
    again = client.post(address(held), answer, headers=HTMX)  # its receipt was lost
    assert again.headers["Task-Claim"] == ready.claim
    assert client.post(address(ready), filled_in(ready), headers=HTMX).status_code == 200
    assert Ranking.objects.count() == 2


def test_a_task_ahead_that_was_taken_in_the_meantime_is_not_begun(client, at_work, bob, project):
    held, ready = at_work
    Assignment.objects.filter(pk=ready.pk).update(leased_until=NOW)
    begin(Client(), bob, project)
    page = client.post(address(held), filled_in(held, ready=ready.ready_version), headers=HTMX)
    assert "Task-Claim" not in page.headers
    assert "Nothing left to do here" in page.text
    assert Assignment.objects.get(pk=ready.pk).annotator == bob


def test_a_task_that_was_shuffled_anew_in_the_meantime_is_sent_whole(client, at_work):
    held, ready = at_work
    Assignment.objects.filter(pk=ready.pk).update(order=ready.order[::-1])
    page = client.post(address(held), filled_in(held, ready=ready.ready_version), headers=HTMX)
    assert "Task-Claim" not in page.headers
    assert ready.prompt.text in page.text


def test_a_task_begun_in_another_tab_is_sent_with_its_draft(client, at_work):
    held, ready = at_work
    client.post(address(held), filled_in(held), headers=HTMX)
    ready.refresh_from_db()
    client.post(address(ready) + "draft/", left_as_draft(ready, category="food"))
    page = client.post(address(held), filled_in(held, ready=ready.ready_version), headers=HTMX)
    assert "Task-Claim" not in page.headers
    assert 'value="food" checked' in page.text


def test_a_refused_answer_begins_nothing(client, at_work):
    held, ready = at_work
    wrong = filled_in(held, slots=[1, 1, 1], ready=ready.ready_version)
    assert client.post(address(held), wrong, headers=HTMX).status_code == 422
    ready.refresh_from_db()
    assert ready.claimed_at is None


def test_who_must_read_a_new_guideline_is_shown_it_before_the_task_at_hand(client, at_work, project):
    held, ready = at_work
    publish_guideline(project=project, text="Be fairer")
    page = client.post(address(held), filled_in(held, ready=ready.ready_version), headers=HTMX)
    assert "Be fairer" in page.text
    assert client.get(f"/work/{project.slug}/ahead/").status_code == 204


def test_nothing_lies_ahead_for_the_paused_or_where_nothing_is_left(client, at_work, alice, rita, project):
    held, ready = at_work
    pause(annotator=alice, project=project, reason="a talk first", by=rita, now=NOW)
    assert client.get(f"/work/{project.slug}/ahead/").status_code == 204
    page = client.post(address(held), filled_in(held, ready=ready.ready_version), headers=HTMX)
    assert "a talk first" in page.text
    assert set(Placement.objects.values_list("ranking__assignment", flat=True)) == {held.pk}


def test_nothing_lies_ahead_of_the_last_task_and_for_strangers(client, alice, eve, project, a_prompt):
    a_prompt()
    begin(client, alice, project)
    assert client.get(f"/work/{project.slug}/ahead/").status_code == 204
    client.force_login(eve)
    assert client.get(f"/work/{project.slug}/ahead/").status_code == 404


def test_nothing_lies_ahead_of_the_test(client, alice, project, a_gold, a_prompt):
    type(project).objects.update(requires_qualification=True)
    a_gold(project, purpose="qualification"), a_prompt()
    begin(client, alice, project)
    assert client.get(f"/work/{project.slug}/ahead/").status_code == 204
    assert not Assignment.objects.filter(claimed_at=None, state="leased").exists()
